/*
 * The only file that knows N-API: arguments become numbers, batches become
 * buffers, -errno becomes an Error with a code. What to do is decided in C.
 */
#include <errno.h>
#include <stdlib.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <napi.h>

#include "rimon.h"

/* Of libuv, in every Node: declared here, since its headers come with Node and not from npm. */
extern "C" const char *uv_err_name(int err);
extern "C" const char *uv_strerror(int err);

namespace {

constexpr size_t kPieceMax = 1 << 20;
constexpr size_t kReadMax = 1 << 20;

Napi::Error ErrnoError(Napi::Env env, int err, const std::string &what)
{
	const char *name = uv_err_name(err);
	Napi::Error error = Napi::Error::New(env, what + ": " + name + ", " + uv_strerror(err));

	error.Set("code", name);
	error.Set("errno", static_cast<double>(err));
	return error;
}

void Check(Napi::Env env, int err, const std::string &what)
{
	if (err < 0)
		throw ErrnoError(env, err, what);
}

[[noreturn]] void Refuse(Napi::Env env, const std::string &expected)
{
	throw Napi::TypeError::New(env, expected);
}

uint32_t Uint32Of(const Napi::Value &value, const char *name)
{
	double number;

	if (!value.IsNumber())
		Refuse(value.Env(), std::string(name) + " must be a number");
	number = value.As<Napi::Number>().DoubleValue();
	if (!(number >= 0 && number <= UINT32_MAX) || number != static_cast<uint32_t>(number))
		Refuse(value.Env(), std::string(name) + " must be a whole number from 0 to 4294967295");
	return static_cast<uint32_t>(number);
}

uint64_t Uint53Of(const Napi::Value &value, const char *name)
{
	double number;

	if (!value.IsNumber())
		Refuse(value.Env(), std::string(name) + " must be a number");
	number = value.As<Napi::Number>().DoubleValue();
	if (!(number >= 0 && number <= 9007199254740991.0) || number != static_cast<double>(static_cast<uint64_t>(number)))
		Refuse(value.Env(), std::string(name) + " must be a whole number from 0 to 2^53 - 1");
	return static_cast<uint64_t>(number);
}

uint64_t Uint64Of(const Napi::Value &value, const char *name)
{
	bool lossless = false;
	uint64_t number = 0;

	if (value.IsBigInt())
		number = value.As<Napi::BigInt>().Uint64Value(&lossless);
	if (!lossless)
		Refuse(value.Env(), std::string(name) + " must be a bigint of at most 64 bits");
	return number;
}

std::string StringOf(const Napi::Value &value, const char *name)
{
	std::string text;

	if (!value.IsString())
		Refuse(value.Env(), std::string(name) + " must be a string");
	text = value.As<Napi::String>().Utf8Value();
	if (text.find('\0') != std::string::npos)
		Refuse(value.Env(), std::string(name) + " must not contain a NUL");
	return text;
}

std::vector<std::string> StringsOf(const Napi::Value &value, const char *name)
{
	std::vector<std::string> strings;

	if (!value.IsArray())
		Refuse(value.Env(), std::string(name) + " must be an array of strings");
	Napi::Array array = value.As<Napi::Array>();
	for (uint32_t i = 0; i < array.Length(); i++)
		strings.push_back(StringOf(array.Get(i), name));
	return strings;
}

/* undefined: none were named. */
bool PidsOf(const Napi::Value &value, std::vector<uint32_t> *pids)
{
	if (value.IsUndefined())
		return false;
	if (!value.IsTypedArray() || value.As<Napi::TypedArray>().TypedArrayType() != napi_uint32_array)
		Refuse(value.Env(), "pids must be a Uint32Array");
	Napi::Uint32Array array = value.As<Napi::Uint32Array>();
	pids->assign(array.Data(), array.Data() + array.ElementLength());
	return true;
}

/* Takes the batch's memory over. */
Napi::Buffer<char> BufferOf(Napi::Env env, struct batch *batch)
{
	struct batch taken = *batch;

	*batch = {};
	if (!taken.data)
		return Napi::Buffer<char>::New(env, 0);
	return Napi::Buffer<char>::NewOrCopy(env, taken.data, taken.len, [](Napi::Env, char *data) { free(data); });
}

using ProcfsHandle = std::shared_ptr<const struct procfs>;

/* One pass off the event loop. Holds the procfs, so that closing it waits for the pass. */
class Pass : public Napi::AsyncWorker {
public:
	using Run = std::function<int(const struct procfs *, struct batch *)>;

	Pass(Napi::Env env, ProcfsHandle procfs, std::string what, Run run)
		: Napi::AsyncWorker(env, "rimon"), promise_(Napi::Promise::Deferred::New(env)), procfs_(std::move(procfs)),
		  what_(std::move(what)), run_(std::move(run))
	{
	}
	~Pass() override
	{
		batch_free(&batch_);
	}
	Napi::Promise Promise() const
	{
		return promise_.Promise();
	}

protected:
	void Execute() override
	{
		err_ = run_(procfs_.get(), &batch_);
		procfs_.reset();
	}
	void OnOK() override
	{
		if (err_ < 0)
			promise_.Reject(ErrnoError(Env(), err_, what_).Value());
		else
			promise_.Resolve(BufferOf(Env(), &batch_));
	}

private:
	Napi::Promise::Deferred promise_;
	ProcfsHandle procfs_;
	std::string what_;
	Run run_;
	struct batch batch_ = {};
	int err_ = 0;
};

/* What the addon keeps per environment: a worker thread has its own. */
struct Instance {
	Napi::FunctionReference procfs;
	Napi::FunctionReference watch;
};

class Procfs : public Napi::ObjectWrap<Procfs> {
public:
	static Napi::Function Define(Napi::Env env)
	{
		return DefineClass(env, "Procfs", {
			InstanceMethod<&Procfs::Scan>("scan"),
			InstanceMethod<&Procfs::Maps>("maps"),
			InstanceMethod<&Procfs::OpenFiles>("openFiles"),
			InstanceMethod<&Procfs::Close>("close"),
			InstanceAccessor<&Procfs::IsPrivate>("isPrivate"),
		});
	}

	explicit Procfs(const Napi::CallbackInfo &info) : Napi::ObjectWrap<Procfs>(info)
	{
		struct procfs *p;
		int err = procfs_open(&p);

		if (err == -ENXIO)
			throw ErrnoError(info.Env(), err, "/proc shows the processes of another pid namespace than ours");
		Check(info.Env(), err, "open a procfs");
		is_private_ = p->is_private;
		handle_ = ProcfsHandle(p, [](const struct procfs *closed) { procfs_close(const_cast<struct procfs *>(closed)); });
	}

	ProcfsHandle Handle(Napi::Env env) const
	{
		if (!handle_)
			throw ErrnoError(env, -EBADF, "this procfs is closed");
		return handle_;
	}

private:
	Napi::Value Queue(const Napi::CallbackInfo &info, const char *what, Pass::Run run)
	{
		Pass *pass = new Pass(info.Env(), Handle(info.Env()), what, std::move(run));
		Napi::Promise promise = pass->Promise();

		pass->Queue();
		return promise;
	}

	Napi::Value Scan(const Napi::CallbackInfo &info)
	{
		uint32_t want = Uint32Of(info[0], "want");
		std::vector<uint32_t> pids;
		bool named = PidsOf(info[1], &pids);

		return Queue(info, "read the process table", [=](const struct procfs *p, struct batch *out) {
			struct pids which = { named, pids.data(), pids.size() };

			return proc_scan_run(p, want, &which, out);
		});
	}

	Napi::Value Maps(const Napi::CallbackInfo &info)
	{
		uint32_t pid = Uint32Of(info[0], "pid");
		bool is_known = !info[1].IsUndefined();
		uint64_t known = is_known ? Uint64Of(info[1], "known") : 0;

		return Queue(info, "read the mappings of a process", [=](const struct procfs *p, struct batch *out) {
			return proc_maps_read(p, pid, is_known, known, out);
		});
	}

	Napi::Value OpenFiles(const Napi::CallbackInfo &info)
	{
		std::string suffixes;
		std::vector<uint32_t> pids;

		for (const std::string &suffix : StringsOf(info[0], "suffixes"))
			suffixes.append(suffix).push_back('\0');
		bool named = PidsOf(info[1], &pids);
		return Queue(info, "read the open files of processes", [=](const struct procfs *p, struct batch *out) {
			struct pids which = { named, pids.data(), pids.size() };

			return proc_files_sweep(p, suffixes.data(), suffixes.size(), &which, out);
		});
	}

	Napi::Value IsPrivate(const Napi::CallbackInfo &info)
	{
		return Napi::Boolean::New(info.Env(), is_private_);
	}

	void Close(const Napi::CallbackInfo &)
	{
		handle_.reset();
	}

	ProcfsHandle handle_;
	bool is_private_ = false;
};

/*
 * Outlives the Watch that made it, since a call already under way to the event
 * loop may arrive after close(). `watch` is then NULL.
 */
struct Delivery {
	struct watch *watch = nullptr;
	napi_threadsafe_function function = nullptr;
};

void Deliver(napi_env env, napi_value on_batch, void *context, void *)
{
	Delivery *delivery = static_cast<Delivery *>(context);
	struct batch batch = {};

	if (!env || !delivery->watch)
		return;
	watch_take(delivery->watch, &batch);
	/* The callback may close the watch. Plain N-API: while an environment is torn down every call fails, and none may throw. */
	for (size_t at = 0, piece; at < batch.len && delivery->watch; at += piece) {
		napi_value receiver, argument, thrown;
		napi_handle_scope scope;
		bool pending = false;

		piece = batch_piece(&batch, at, kPieceMax);
		if (napi_open_handle_scope(env, &scope) != napi_ok)
			break;
		if (napi_create_buffer_copy(env, piece, batch.data + at, nullptr, &argument) == napi_ok &&
		    napi_get_undefined(env, &receiver) == napi_ok)
			napi_call_function(env, receiver, on_batch, 1, &argument, nullptr);
		/* As out of any event handler; what is behind it still arrives. */
		if (napi_is_exception_pending(env, &pending) == napi_ok && pending &&
		    napi_get_and_clear_last_exception(env, &thrown) == napi_ok)
			napi_fatal_exception(env, thrown);
		napi_close_handle_scope(env, scope);
	}
	batch_free(&batch);
}

class Watch : public Napi::ObjectWrap<Watch> {
public:
	static Napi::Function Define(Napi::Env env)
	{
		return DefineClass(env, "Watch", {
			InstanceMethod<&Watch::MarkProcfs>("markProcfs"),
			InstanceMethod<&Watch::UnmarkProcfs>("unmarkProcfs"),
			InstanceMethod<&Watch::MarkFile>("markFile"),
			InstanceMethod<&Watch::UnmarkFile>("unmarkFile"),
			InstanceMethod<&Watch::WatchMounts>("watchMounts"),
			InstanceMethod<&Watch::UnwatchMounts>("unwatchMounts"),
			InstanceMethod<&Watch::Status>("status"),
			InstanceMethod<&Watch::Close>("close"),
		});
	}

	explicit Watch(const Napi::CallbackInfo &info) : Napi::ObjectWrap<Watch>(info), env_(info.Env())
	{
		Napi::Env env = info.Env();

		if (!info[0].IsObject() || !info[1].IsObject() || !info[2].IsFunction())
			Refuse(env, "openWatch expects sources, a procfs and a function");
		Napi::Object sources = info[0].As<Napi::Object>();
		uint32_t which = (sources.Get("connector").ToBoolean() ? WATCH_CONNECTOR : 0) |
				 (sources.Get("files").ToBoolean() ? WATCH_FILES : 0);
		if (!info[1].As<Napi::Object>().InstanceOf(env.GetInstanceData<Instance>()->procfs.Value()))
			Refuse(env, "the procfs must be one that openProcfs gave");
		procfs_ = Procfs::Unwrap(info[1].As<Napi::Object>())->Handle(env);
		/* The function's finalizer deletes it. */
		delivery_ = new Delivery;
		napi_status status = napi_create_threadsafe_function(
			env, info[2], nullptr, Napi::String::New(env, "rimon"), 0, 1, nullptr,
			[](napi_env, void *, void *context) { delete static_cast<Delivery *>(context); }, delivery_, Deliver,
			&delivery_->function);
		if (status != napi_ok) {
			delete delivery_;
			throw Napi::Error::New(env);
		}
		int err = watch_open(which, procfs_.get(), Notify, delivery_, &delivery_->watch);
		if (err) {
			napi_release_threadsafe_function(delivery_->function, napi_tsfn_abort);
			throw ErrnoError(env, err, "start the watch");
		}
		/* Until close() nobody need hold the object for the watch to go on. */
		Ref();
		/* Runs before the function's own hook does, so the thread ends while there is still something to call. */
		napi_add_env_cleanup_hook(env, AtExit, this);
	}

private:
	static void Notify(void *context)
	{
		Delivery *delivery = static_cast<Delivery *>(context);

		napi_call_threadsafe_function(delivery->function, nullptr, napi_tsfn_nonblocking);
	}

	static void AtExit(void *self)
	{
		static_cast<Watch *>(self)->Stop();
	}

	void Stop()
	{
		if (!delivery_)
			return;
		watch_close(delivery_->watch);
		delivery_->watch = nullptr;
		napi_release_threadsafe_function(delivery_->function, napi_tsfn_abort);
		delivery_ = nullptr;
		procfs_.reset();
	}

	struct watch *Open(Napi::Env env)
	{
		if (!delivery_)
			throw ErrnoError(env, -EBADF, "this watch is closed");
		return delivery_->watch;
	}

	/* -EBADF of a mark: the source it needs is not live. */
	void CheckMark(Napi::Env env, int err, const std::string &what)
	{
		struct watch_status status;

		if (err != -EBADF)
			return Check(env, err, what);
		watch_get_status(Open(env), &status);
		throw ErrnoError(env, status.files.error ? -status.files.error : err,
				 what + ": no fanotify (" + (status.files.what ? status.files.what : "") + ")");
	}

	Napi::Value MarkProcfs(const Napi::CallbackInfo &info)
	{
		Napi::Env env = info.Env();
		std::string path = StringOf(info[0], "path");
		uint64_t dev, pid_ns;
		int err = watch_mark_procfs(Open(env), path.c_str(), &dev, &pid_ns);

		if (err == -ENODEV)
			throw ErrnoError(env, err, "mark " + path + ": it must be on a procfs and is not");
		CheckMark(env, err, "mark " + path);
		Napi::Object result = Napi::Object::New(env);
		result.Set("dev", Napi::Number::New(env, static_cast<double>(dev)));
		result.Set("pidNamespace", Napi::Number::New(env, static_cast<double>(pid_ns)));
		return result;
	}

	Napi::Value MarkFile(const Napi::CallbackInfo &info)
	{
		Napi::Env env = info.Env();
		std::string path = StringOf(info[0], "path");
		uint64_t dev, inode;

		CheckMark(env, watch_mark_file(Open(env), path.c_str(), &dev, &inode), "mark " + path);
		Napi::Object result = Napi::Object::New(env);
		result.Set("dev", Napi::Number::New(env, static_cast<double>(dev)));
		result.Set("inode", Napi::Number::New(env, static_cast<double>(inode)));
		return result;
	}

	void UnmarkProcfs(const Napi::CallbackInfo &info)
	{
		if (!info[0].IsNumber())
			Refuse(info.Env(), "unmarkProcfs expects the st_dev of a procfs");
		watch_forget_procfs(Open(info.Env()), static_cast<uint64_t>(info[0].As<Napi::Number>().Int64Value()));
	}

	void UnmarkFile(const Napi::CallbackInfo &info)
	{
		std::string path = StringOf(info[0], "path");

		CheckMark(info.Env(), watch_unmark_file(Open(info.Env()), path.c_str()), "unmark " + path);
	}

	void WatchMounts(const Napi::CallbackInfo &info)
	{
		std::string path = StringOf(info[0], "path");
		uint32_t id = Uint32Of(info[1], "id");

		Check(info.Env(), watch_add_mounts(Open(info.Env()), path.c_str(), id), "watch " + path);
	}

	void UnwatchMounts(const Napi::CallbackInfo &info)
	{
		watch_remove_mounts(Open(info.Env()), Uint32Of(info[0], "id"));
	}

	static Napi::Object SourceStatus(Napi::Env env, const struct watch_source &source)
	{
		Napi::Object result = Napi::Object::New(env);

		result.Set("live", source.live);
		if (!source.live) {
			std::string reason = source.what ? source.what : "";
			if (source.error)
				reason = std::string(uv_err_name(-source.error)) + ": " + reason;
			result.Set("reason", reason);
		}
		result.Set("events", Napi::Number::New(env, static_cast<double>(source.events)));
		result.Set("lost", Napi::Number::New(env, static_cast<double>(source.lost)));
		result.Set("unreadable", Napi::Number::New(env, static_cast<double>(source.unreadable)));
		return result;
	}

	Napi::Value Status(const Napi::CallbackInfo &info)
	{
		Napi::Env env = info.Env();
		Napi::Object result = Napi::Object::New(env);
		struct watch_status status;

		watch_get_status(Open(env), &status);
		result.Set("connector", SourceStatus(env, status.connector));
		result.Set("files", SourceStatus(env, status.files));
		result.Set("dropped", Napi::Number::New(env, static_cast<double>(status.dropped)));
		return result;
	}

	void Close(const Napi::CallbackInfo &)
	{
		if (!delivery_)
			return;
		napi_remove_env_cleanup_hook(env_, AtExit, this);
		Stop();
		Unref();
	}

	napi_env env_;
	ProcfsHandle procfs_;
	Delivery *delivery_ = nullptr;
};

Napi::Value OpenProcfs(const Napi::CallbackInfo &info)
{
	return info.Env().GetInstanceData<Instance>()->procfs.New({});
}

Napi::Value OpenWatch(const Napi::CallbackInfo &info)
{
	return info.Env().GetInstanceData<Instance>()->watch.New({ info[0], info[1], info[2] });
}

Napi::Value SignalProcess(const Napi::CallbackInfo &info)
{
	static const char *const names[] = { "sent", "gone", "reused" };
	Napi::Env env = info.Env();
	uint32_t pid = Uint32Of(info[0], "pid");
	enum signal_result result;

	Check(env, pidfd_signal(pid, Uint53Of(info[1], "startTime"), static_cast<int>(Uint32Of(info[2], "signal")), &result),
	      "signal process " + std::to_string(pid));
	return Napi::String::New(env, names[result]);
}

void Harden(const Napi::CallbackInfo &info)
{
	Check(info.Env(), harden(), "make this process undumpable");
}

Napi::Value Capabilities(const Napi::CallbackInfo &info)
{
	Napi::Env env = info.Env();
	Napi::Array names = Napi::Array::New(env);
	uint64_t effective;

	Check(env, capabilities_effective(&effective), "read our capabilities");
	for (unsigned int i = 0; i < 64; i++)
		if ((effective >> i & 1) && capability_name(i))
			names.Set(names.Length(), capability_name(i));
	return names;
}

std::vector<char *> PointersTo(std::vector<std::string> *strings)
{
	std::vector<char *> pointers;

	for (std::string &string : *strings)
		pointers.push_back(string.data());
	pointers.push_back(nullptr);
	return pointers;
}

void ExecWithCapabilities(const Napi::CallbackInfo &info)
{
	Napi::Env env = info.Env();
	std::string path = StringOf(info[0], "path");
	std::vector<std::string> args = StringsOf(info[1], "args");
	std::vector<std::string> variables = StringsOf(info[2], "env");
	uint64_t keep = 0;

	for (const std::string &name : StringsOf(info[3], "keep")) {
		int number = capability_number(name.c_str());

		if (number < 0)
			Refuse(env, "keep must name capabilities like sys_ptrace, got " + name);
		keep |= uint64_t{1} << number;
	}
	/* argv[0] */
	args.insert(args.begin(), path);
	Check(env, exec_with_capabilities(path.c_str(), PointersTo(&args).data(), PointersTo(&variables).data(), keep),
	      "execute " + path);
}

Napi::Value AttackSecret(const Napi::CallbackInfo &info)
{
	Napi::Env env = info.Env();
	Napi::Object result = Napi::Object::New(env);
	const unsigned char *bytes;
	uint64_t code;
	size_t len;

	attack_secret(&bytes, &len, &code);
	result.Set("address", Napi::BigInt::New(env, static_cast<uint64_t>(reinterpret_cast<uintptr_t>(bytes))));
	result.Set("bytes", Napi::Buffer<unsigned char>::Copy(env, bytes, len));
	result.Set("codeAddress", Napi::BigInt::New(env, code));
	return result;
}

Napi::Value AttackStartThread(const Napi::CallbackInfo &info)
{
	uint32_t tid;

	Check(info.Env(), attack_start_thread(&tid), "start a thread");
	return Napi::Number::New(info.Env(), tid);
}

template <typename Where>
Napi::Value AttackRead(const Napi::CallbackInfo &info, const char *what, Where where,
		       ssize_t (*read)(uint32_t, Where, char *, size_t))
{
	Napi::Env env = info.Env();
	uint32_t pid = Uint32Of(info[0], "pid");
	uint32_t length = Uint32Of(info[2], "length");

	if (length > kReadMax)
		Refuse(env, "length must be at most 1 MiB");
	std::vector<char> bytes(length);
	ssize_t n = read(pid, where, bytes.data(), length);
	Check(env, static_cast<int>(n < 0 ? n : 0), std::string(what) + " on process " + std::to_string(pid));
	return Napi::Buffer<char>::Copy(env, bytes.data(), static_cast<size_t>(n));
}

Napi::Value AttackPtraceAttach(const Napi::CallbackInfo &info)
{
	return AttackRead<uint64_t>(info, "PTRACE_ATTACH", Uint64Of(info[1], "address"), attack_ptrace_attach);
}

Napi::Value AttackPtraceSeize(const Napi::CallbackInfo &info)
{
	return AttackRead<uint64_t>(info, "PTRACE_SEIZE", Uint64Of(info[1], "address"), attack_ptrace_seize);
}

Napi::Value AttackProcessVmReadv(const Napi::CallbackInfo &info)
{
	return AttackRead<uint64_t>(info, "reading memory", Uint64Of(info[1], "address"), attack_process_vm_readv);
}

Napi::Value AttackPidfdGetfd(const Napi::CallbackInfo &info)
{
	return AttackRead<uint32_t>(info, "pidfd_getfd", Uint32Of(info[1], "fd"), attack_pidfd_getfd);
}

Napi::Value AttackProcMemDetachedMount(const Napi::CallbackInfo &info)
{
	return AttackRead<uint64_t>(info, "mem of another procfs", Uint64Of(info[1], "address"), attack_proc_mem_detached_mount);
}

void AttackPatchText(const Napi::CallbackInfo &info)
{
	uint32_t pid = Uint32Of(info[0], "pid");

	Check(info.Env(), attack_patch_text(pid, Uint64Of(info[1], "address")), "patch process " + std::to_string(pid));
}

void AttackOpenPage(const Napi::CallbackInfo &info)
{
	Check(info.Env(), attack_open_page(), "make a page executable");
}

Napi::Object Init(Napi::Env env, Napi::Object exports)
{
	Instance *instance = new Instance;
	Napi::Object attack = Napi::Object::New(env);

	instance->procfs = Napi::Persistent(Procfs::Define(env));
	instance->watch = Napi::Persistent(Watch::Define(env));
	env.SetInstanceData(instance);
	attack.Set("secret", Napi::Function::New<AttackSecret>(env, "secret"));
	attack.Set("startThread", Napi::Function::New<AttackStartThread>(env, "startThread"));
	attack.Set("ptraceAttach", Napi::Function::New<AttackPtraceAttach>(env, "ptraceAttach"));
	attack.Set("ptraceSeize", Napi::Function::New<AttackPtraceSeize>(env, "ptraceSeize"));
	attack.Set("processVmReadv", Napi::Function::New<AttackProcessVmReadv>(env, "processVmReadv"));
	attack.Set("pidfdGetfd", Napi::Function::New<AttackPidfdGetfd>(env, "pidfdGetfd"));
	attack.Set("procMemDetachedMount", Napi::Function::New<AttackProcMemDetachedMount>(env, "procMemDetachedMount"));
	attack.Set("patchText", Napi::Function::New<AttackPatchText>(env, "patchText"));
	attack.Set("openPage", Napi::Function::New<AttackOpenPage>(env, "openPage"));
	exports.Set("attack", attack);
	exports.Set("recordVersion", RECORD_VERSION);
	exports.Set("openProcfs", Napi::Function::New<OpenProcfs>(env, "openProcfs"));
	exports.Set("openWatch", Napi::Function::New<OpenWatch>(env, "openWatch"));
	exports.Set("signalProcess", Napi::Function::New<SignalProcess>(env, "signalProcess"));
	exports.Set("harden", Napi::Function::New<Harden>(env, "harden"));
	exports.Set("capabilities", Napi::Function::New<Capabilities>(env, "capabilities"));
	exports.Set("execWithCapabilities", Napi::Function::New<ExecWithCapabilities>(env, "execWithCapabilities"));
	return exports;
}

} // namespace

NODE_API_MODULE(rimon, Init)
