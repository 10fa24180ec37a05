/* The Gate object: what it has to tell goes to a function, on the event loop; what it answers never does. */
#include <cerrno>

#include "addon_delivery.h"

namespace addon {

namespace {

using GateDelivery = Delivery<struct exec_gate, exec_gate_take>;

ProcfsHandle OpenProcfs(Napi::Env env)
{
	struct procfs *p;

	Check(env, procfs_open(&p), "open a procfs");
	return ProcfsHandle(p, [](const struct procfs *closed) { procfs_close(const_cast<struct procfs *>(closed)); });
}

class Gate : public Napi::ObjectWrap<Gate> {
public:
	static Napi::Function Define(Napi::Env env)
	{
		return DefineClass(env, "Gate", {
			InstanceMethod<&Gate::Load>("load"),
			InstanceMethod<&Gate::Mark>("mark"),
			InstanceMethod<&Gate::Unmark>("unmark"),
			InstanceMethod<&Gate::Place>("place"),
			InstanceMethod<&Gate::Look>("look"),
			InstanceMethod<&Gate::Upgrade>("upgrade"),
			InstanceMethod<&Gate::Status>("status"),
			InstanceMethod<&Gate::Close>("close"),
		});
	}

	explicit Gate(const Napi::CallbackInfo &info) : Napi::ObjectWrap<Gate>(info), env_(info.Env())
	{
		Napi::Env env = info.Env();
		const char *what = "";

		if (!info[0].IsFunction())
			Refuse(env, "openGate expects a function");
		procfs_ = OpenProcfs(env);
		delivery_ = GateDelivery::To(env, info[0]);
		int err = exec_gate_open(procfs_.get(), GateDelivery::Notify, delivery_, &delivery_->source, &what);
		if (err) {
			delivery_->End();
			throw ErrnoError(env, err, std::string("open the exec gate (") + what + ")");
		}
		Ref();
		napi_add_env_cleanup_hook(env, AtExit, this);
	}

private:
	static void AtExit(void *self)
	{
		static_cast<Gate *>(self)->Stop();
	}

	void Stop()
	{
		if (!delivery_)
			return;
		exec_gate_close(delivery_->source);
		delivery_->End();
		delivery_ = nullptr;
		procfs_.reset();
	}

	struct exec_gate *Open(Napi::Env env)
	{
		if (!delivery_)
			throw ErrnoError(env, -EBADF, "this gate is closed");
		return delivery_->source;
	}

	void Load(const Napi::CallbackInfo &info)
	{
		size_t len;
		const char *bytes = BytesOf(info[0], "table", &len);

		Check(info.Env(), exec_gate_load(Open(info.Env()), bytes, len), "load a table of the exec gate");
	}

	Napi::Value Mark(const Napi::CallbackInfo &info)
	{
		uint32_t pid = Uint32Of(info[0], "pid");
		std::string path = StringOf(info[1], "path");
		uint64_t mount = Uint53Of(info[2], "mount");
		uint32_t mode = Uint32Of(info[3], "mode");
		bool opens = info[4].ToBoolean(), is_new;
		uint64_t dev;

		Check(info.Env(), exec_gate_mark(Open(info.Env()), pid, path.c_str(), mount, mode, opens, &dev, &is_new),
		      "mark " + path);
		Napi::Object result = Napi::Object::New(info.Env());
		result.Set("dev", Napi::Number::New(info.Env(), static_cast<double>(dev)));
		result.Set("isNew", Napi::Boolean::New(info.Env(), is_new));
		return result;
	}

	void Unmark(const Napi::CallbackInfo &info)
	{
		uint32_t pid = Uint32Of(info[0], "pid");
		std::string path = StringOf(info[1], "path");

		exec_gate_unmark(Open(info.Env()), pid, path.c_str(), Uint53Of(info[2], "dev"));
	}

	Napi::Value Place(const Napi::CallbackInfo &info)
	{
		uint32_t pid = Uint32Of(info[0], "pid");
		std::string path = StringOf(info[1], "path");
		struct gate_place place;

		Check(info.Env(), exec_gate_place(Open(info.Env()), pid, path.c_str(), &place), "find " + path);
		Napi::Object result = Napi::Object::New(info.Env());
		result.Set("mount", Napi::Number::New(info.Env(), static_cast<double>(place.mount)));
		result.Set("dev", Napi::Number::New(info.Env(), static_cast<double>(place.dev)));
		result.Set("inode", Napi::Number::New(info.Env(), static_cast<double>(place.inode)));
		result.Set("size", Napi::Number::New(info.Env(), static_cast<double>(place.size)));
		result.Set("owner", Napi::Number::New(info.Env(), static_cast<double>(place.owner)));
		result.Set("isMarked", Napi::Boolean::New(info.Env(), place.is_marked));
		return result;
	}

	Napi::Value Look(const Napi::CallbackInfo &info)
	{
		Napi::Env env = info.Env();
		uint32_t pid = Uint32Of(info[0], "pid");
		std::string path = StringOf(info[1], "path");
		uint64_t mount = Uint53Of(info[2], "mount");
		uint32_t uid = Uint32Of(info[3], "uid");
		std::string by = StringOf(info[4], "by");
		struct batch batch = {};
		int err = exec_gate_look(Open(env), pid, path.c_str(), mount, uid, by.c_str(), &batch);

		if (err)
			batch_free(&batch);
		Check(env, err, "look at " + path);
		return BufferOf(env, &batch);
	}

	void Upgrade(const Napi::CallbackInfo &info)
	{
		exec_gate_upgrade(Open(info.Env()), info[0].ToBoolean());
	}

	Napi::Value Status(const Napi::CallbackInfo &info)
	{
		struct exec_gate_status status;

		exec_gate_get_status(Open(info.Env()), &status);
		const std::pair<const char *, uint64_t> counts[] = {
			{ "events", status.events },
			{ "allowed", status.allowed },
			{ "denied", status.denied },
			{ "wouldDeny", status.would_deny },
			{ "unanswered", status.unanswered },
			{ "spared", status.spared },
			{ "hashed", status.hashed },
			{ "hashedBytes", status.hashed_bytes },
			{ "remembered", status.remembered },
			{ "settled", status.settled },
			{ "unsettled", status.unsettled },
			{ "lost", status.lost },
			{ "overflows", status.overflows },
			{ "unopened", status.unopened },
			{ "stoodIn", status.stood_in },
			{ "longestNs", status.longest_ns },
			{ "queued", status.queued },
			{ "busy", status.busy },
		};
		Napi::Object result = Napi::Object::New(info.Env());
		for (const auto &[name, count] : counts)
			result.Set(name, Napi::Number::New(info.Env(), static_cast<double>(count)));
		result.Set("hasDeputy", Napi::Boolean::New(info.Env(), status.has_deputy));
		if (status.unopened_error)
			result.Set("unopenedError", Napi::String::New(info.Env(), uv_err_name(-status.unopened_error)));
		if (status.lock_error)
			result.Set("lockError", Napi::String::New(info.Env(), uv_err_name(-status.lock_error)));
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
	GateDelivery *delivery_ = nullptr;
};

} // namespace

Napi::Function DefineGate(Napi::Env env)
{
	return Gate::Define(env);
}

Napi::Value GateTry(const Napi::CallbackInfo &info)
{
	Napi::Env env = info.Env();
	size_t len;
	const char *table = BytesOf(info[0], "table", &len);
	std::string path = StringOf(info[1], "path");
	uint32_t uid = Uint32Of(info[2], "uid");
	std::string by = StringOf(info[3], "by");
	ProcfsHandle procfs = OpenProcfs(env);
	struct batch batch = {};
	int err = exec_gate_try(procfs.get(), table, len, path.c_str(), uid, by.c_str(), &batch);

	if (err)
		batch_free(&batch);
	Check(env, err, "try " + path);
	return BufferOf(env, &batch);
}

} // namespace addon
