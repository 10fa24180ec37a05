/* The Watch object: batches of its thread go to a function, on the event loop. */
#include <algorithm>
#include <errno.h>

#include "addon_delivery.h"
#include "file_watch.h"

namespace addon {

namespace {

using WatchDelivery = Delivery<struct watch, watch_take>;

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
			InstanceMethod<&Watch::Protect>("protect"),
			InstanceMethod<&Watch::Unprotect>("unprotect"),
			InstanceMethod<&Watch::Protected>("protected"),
			InstanceMethod<&Watch::Listen>("listen"),
			InstanceMethod<&Watch::Enforce>("enforce"),
			InstanceMethod<&Watch::Beat>("beat"),
			InstanceMethod<&Watch::Exempt>("exempt"),
			InstanceMethod<&Watch::GuardSettings>("guardSettings"),
			InstanceMethod<&Watch::LeaveSettings>("leaveSettings"),
			InstanceMethod<&Watch::OpenChanges>("openChanges"),
			InstanceMethod<&Watch::AimChanges>("aimChanges"),
			InstanceMethod<&Watch::MarkChanges>("markChanges"),
			InstanceMethod<&Watch::WalkChanges>("walkChanges"),
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
				 (sources.Get("files").ToBoolean() ? WATCH_FILES : 0) |
				 (sources.Get("memory").ToBoolean() ? WATCH_MEMORY : 0) |
				 (sources.Get("access").ToBoolean() ? WATCH_ACCESS : 0) |
				 (sources.Get("exec").ToBoolean() ? WATCH_EXEC : 0) |
				 (sources.Get("calls").ToBoolean() ? WATCH_CALLS : 0) |
				 (sources.Get("signals").ToBoolean() ? WATCH_SIGNALS : 0);
		procfs_ = ProcfsOf(info[1]);
		delivery_ = WatchDelivery::To(env, info[2]);
		int err = watch_open(which, procfs_.get(), WatchDelivery::Notify, delivery_, &delivery_->source);
		if (err) {
			delivery_->End();
			throw ErrnoError(env, err, "start the watch");
		}
		/* Until close() nobody need hold the object for the watch to go on. */
		Ref();
		/* Runs before the function's own hook does, so the thread ends while there is still something to call. */
		napi_add_env_cleanup_hook(env, AtExit, this);
	}

private:
	static void AtExit(void *self)
	{
		static_cast<Watch *>(self)->Stop();
	}

	void Stop()
	{
		if (!delivery_)
			return;
		watch_close(delivery_->source);
		delivery_->End();
		delivery_ = nullptr;
		procfs_.reset();
	}

	struct watch *Open(Napi::Env env)
	{
		if (!delivery_)
			throw ErrnoError(env, -EBADF, "this watch is closed");
		return delivery_->source;
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
		watch_forget_procfs(Open(info.Env()), Uint53Of(info[0], "the st_dev of a procfs"));
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

	/* [pid, start time, operations, ...]: three numbers a process. */
	void Protect(const Napi::CallbackInfo &info)
	{
		Napi::Env env = info.Env();
		std::vector<uint64_t> numbers = Uint64sOf(info[0], "targets");
		std::vector<struct process_target> targets;

		for (size_t at = 0; at + 3 <= numbers.size(); at += 3)
			targets.push_back({ numbers[at + 1], numbers[at + 2], static_cast<uint32_t>(numbers[at]) });
		Check(env, watch_protect(Open(env), targets.data(), targets.size()), "protect processes");
	}

	void Unprotect(const Napi::CallbackInfo &info)
	{
		Check(info.Env(), watch_unprotect(Open(info.Env()), Uint32Of(info[0], "pid")), "unprotect a process");
	}

	Napi::Value Protected(const Napi::CallbackInfo &info)
	{
		std::vector<uint32_t> pids;

		watch_protected(Open(info.Env()), [](void *arg, uint32_t pid) {
			static_cast<std::vector<uint32_t> *>(arg)->push_back(pid);
		}, &pids);
		Napi::Uint32Array found = Napi::Uint32Array::New(info.Env(), pids.size());
		std::copy(pids.begin(), pids.end(), found.Data());
		return found;
	}

	void Listen(const Napi::CallbackInfo &info)
	{
		Check(info.Env(), watch_listen(Open(info.Env()), info[0].ToBoolean()), "look at system calls");
	}

	void Enforce(const Napi::CallbackInfo &info)
	{
		Napi::Env env = info.Env();
		bool enforce = info[0].ToBoolean(), machine = info[2].ToBoolean();
		pid_t family = info[1].IsUndefined() ? 0 : static_cast<pid_t>(Uint32Of(info[1], "family"));

		Check(env, watch_enforce(Open(env), enforce, family, machine), "switch enforcing");
	}

	void Beat(const Napi::CallbackInfo &info)
	{
		watch_beat(Open(info.Env()));
	}

	/* [st_dev, inode, ...]: two numbers a file. */
	static std::vector<struct watch_file> FilesOf(const Napi::Value &value)
	{
		std::vector<uint64_t> numbers = Uint64sOf(value, "files");
		std::vector<struct watch_file> files;

		for (size_t at = 0; at + 2 <= numbers.size(); at += 2)
			files.push_back({ numbers[at], numbers[at + 1] });
		return files;
	}

	/* What fails is told by the status. */
	void GuardSettings(const Napi::CallbackInfo &info)
	{
		struct watch *watch = Open(info.Env());
		std::vector<struct watch_file> files = FilesOf(info[0]);
		bool family = info[1].ToBoolean(), everybody = info[2].IsUndefined();
		std::string cgroup = everybody ? "" : StringOf(info[2], "cgroup");

		watch_guard_settings(watch, everybody ? nullptr : cgroup.c_str(), family, files.data(), files.size());
	}

	void LeaveSettings(const Napi::CallbackInfo &info)
	{
		watch_leave_settings(Open(info.Env()));
	}

	/* What fails is told by the status. */
	Napi::Value OpenChanges(const Napi::CallbackInfo &info)
	{
		uint32_t best = FILE_WATCH_MOVES, most = info[0].IsUndefined() ? best : Uint32Of(info[0], "level");
		Napi::Env env = info.Env();
		const char *what = nullptr;
		int without = 0;

		if (most > FILE_WATCH_MOVES)
			Refuse(env, "a level from 0 to 3");
		if (watch_changes_open(Open(env), most, &without, &what) < 0 || !without)
			return env.Undefined();
		return Napi::String::New(env, std::string(uv_err_name(-without)) + ": " + (what ? what : "fanotify"));
	}

	void WalkChanges(const Napi::CallbackInfo &info)
	{
		std::string path = StringOf(info[0], "path");

		Check(info.Env(), watch_changes_walk(Open(info.Env()), path.c_str()), "watch the folders of " + path + " by inotify");
	}

	/* Each path with its NUL. */
	static std::string PathsOf(const Napi::Value &value, const char *name)
	{
		std::string all;

		for (const std::string &path : StringsOf(value, name))
			all.append(path.c_str(), path.size() + 1);
		return all;
	}

	void AimChanges(const Napi::CallbackInfo &info)
	{
		std::string included = PathsOf(info[0], "included"), excluded = PathsOf(info[1], "excluded");

		Check(info.Env(), watch_changes_aim(Open(info.Env()), included.data(), included.size(), excluded.data(), excluded.size()),
		      "say which files are watched");
	}

	void MarkChanges(const Napi::CallbackInfo &info)
	{
		std::string path = StringOf(info[0], "path");

		Check(info.Env(), watch_changes_mark(Open(info.Env()), path.c_str()), "watch the filesystem of " + path);
	}

	void Exempt(const Napi::CallbackInfo &info)
	{
		Napi::Env env = info.Env();
		std::vector<struct watch_file> files = FilesOf(info[0]);

		Check(env, watch_exempt(Open(env), files.data(), files.size()), "exempt executables");
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
		result.Set("memory", SourceStatus(env, status.memory));
		result.Set("access", SourceStatus(env, status.access));
		result.Set("exec", SourceStatus(env, status.exec));
		result.Set("calls", SourceStatus(env, status.calls));
		result.Set("signals", SourceStatus(env, status.signals));
		result.Set("sysctl", SourceStatus(env, status.sysctl));
		result.Set("changes", SourceStatus(env, status.changes));
		result.Set("callsAtEntry", status.calls_at_entry);
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
	WatchDelivery *delivery_ = nullptr;
};

} // namespace

Napi::Function DefineWatch(Napi::Env env)
{
	return Watch::Define(env);
}

} // namespace addon
