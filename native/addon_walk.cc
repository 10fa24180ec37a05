/* The FileWalk object. */
#include <errno.h>

#include "addon_pass.h"
#include "files.h"

namespace addon {

namespace {

class FileWalk : public Napi::ObjectWrap<FileWalk> {
public:
	static Napi::Function Define(Napi::Env env)
	{
		return DefineClass(env, "FileWalk", {
			InstanceMethod<&FileWalk::Next>("next"),
			InstanceMethod<&FileWalk::Allow>("allow"),
			InstanceMethod<&FileWalk::Progress>("progress"),
			InstanceMethod<&FileWalk::Close>("close"),
		});
	}

	/* roots, rules, numbers: flags, threads, max_size, has_allowance; limits */
	explicit FileWalk(const Napi::CallbackInfo &info) : Napi::ObjectWrap<FileWalk>(info)
	{
		struct file_walk_options options = {};
		struct file_walk *opened;

		options.roots = BytesOf(info[0], "roots", &options.roots_len);
		options.rules = BytesOf(info[1], "rules", &options.rules_len);
		std::vector<uint64_t> how = Uint64sOf(info[2], "how");
		std::vector<uint64_t> limits;
		if (!info[3].IsUndefined())
			limits = Uint64sOf(info[3], "limits");
		if (how.size() != 4)
			Refuse(info.Env(), "how must have four numbers");
		options.flags = static_cast<uint32_t>(how[0]);
		options.threads = static_cast<uint32_t>(how[1]);
		options.max_size = how[2];
		options.has_allowance = how[3] != 0;
		options.limits = limits.data();
		options.n_limits = limits.size();
		Check(info.Env(), file_walk_open(&options, &opened), "walk files");
		walk_ = std::shared_ptr<struct file_walk>(opened, file_walk_close);
	}

private:
	struct file_walk *Open(Napi::Env env) const
	{
		if (!walk_)
			throw ErrnoError(env, -EBADF, "this walk is closed");
		return walk_.get();
	}

	Napi::Value Next(const Napi::CallbackInfo &info)
	{
		Open(info.Env());
		std::shared_ptr<struct file_walk> walk = walk_;
		return Pass::Begin(info.Env(), "walk files", [=](struct batch *out) {
			return file_walk_next(walk.get(), out);
		});
	}

	void Allow(const Napi::CallbackInfo &info)
	{
		file_walk_allow(Open(info.Env()), Uint53Of(info[0], "bytes"));
	}

	Napi::Value Progress(const Napi::CallbackInfo &info)
	{
		Napi::Object object = Napi::Object::New(info.Env());
		struct file_walk_progress progress;

		file_walk_progress(Open(info.Env()), &progress);
		object.Set("entries", static_cast<double>(progress.entries));
		object.Set("bytes", static_cast<double>(progress.bytes));
		object.Set("vanished", static_cast<double>(progress.vanished));
		return object;
	}

	void Close(const Napi::CallbackInfo &)
	{
		/* A pass that waits lets go of it, too. */
		if (walk_)
			file_walk_stop(walk_.get());
		walk_.reset();
	}

	std::shared_ptr<struct file_walk> walk_;
};

} // namespace

Napi::Function DefineFileWalk(Napi::Env env)
{
	return FileWalk::Define(env);
}

} // namespace addon
