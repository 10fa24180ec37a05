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
			InstanceMethod<&FileWalk::Compare>("compare"),
			InstanceMethod<&FileWalk::IsHungry>("isHungry"),
			InstanceMethod<&FileWalk::Give>("give"),
			InstanceMethod<&FileWalk::Allow>("allow"),
			InstanceMethod<&FileWalk::Progress>("progress"),
			InstanceMethod<&FileWalk::Close>("close"),
		});
	}

	/* roots, rules, numbers: flags, threads, max_size, has_allowance, flags of the merge; limits */
	explicit FileWalk(const Napi::CallbackInfo &info) : Napi::ObjectWrap<FileWalk>(info)
	{
		struct file_walk_options options = {};
		struct file_merge *merging;
		struct file_walk *opened;

		options.roots = BytesOf(info[0], "roots", &options.roots_len);
		options.rules = BytesOf(info[1], "rules", &options.rules_len);
		std::vector<uint64_t> how = Uint64sOf(info[2], "how");
		std::vector<uint64_t> limits;
		if (!info[3].IsUndefined())
			limits = Uint64sOf(info[3], "limits");
		if (how.size() != 5)
			Refuse(info.Env(), "how must have five numbers");
		options.flags = static_cast<uint32_t>(how[0]);
		options.threads = static_cast<uint32_t>(how[1]);
		options.max_size = how[2];
		options.has_allowance = how[3] != 0;
		options.limits = limits.data();
		options.n_limits = limits.size();
		Check(info.Env(), file_walk_open(&options, &opened), "walk files");
		walk_ = std::shared_ptr<struct file_walk>(opened, file_walk_close);
		Check(info.Env(), file_merge_open(opened, static_cast<uint32_t>(how[4]), &merging), "compare files");
		/* The walk is there for as long as the merge is. */
		std::shared_ptr<struct file_walk> walk = walk_;
		merge_ = std::shared_ptr<struct file_merge>(merging, [walk](struct file_merge *m) { file_merge_close(m); });
	}

private:
	struct file_walk *Open(Napi::Env env) const
	{
		if (!walk_)
			throw ErrnoError(env, -EBADF, "this walk is closed");
		return walk_.get();
	}

	static Napi::Buffer<char> Into(const Napi::Value &value)
	{
		if (!value.IsBuffer())
			Refuse(value.Env(), "into must be a Buffer");
		return value.As<Napi::Buffer<char>>();
	}

	Napi::Value Next(const Napi::CallbackInfo &info)
	{
		Open(info.Env());
		std::shared_ptr<struct file_walk> walk = walk_;
		return Pass::BeginInto(info.Env(), "walk files", Into(info[0]), [=](struct batch *out) {
			return file_walk_next(walk.get(), out);
		});
	}

	struct file_merge *Merging(Napi::Env env) const
	{
		Open(env);
		return merge_.get();
	}

	Napi::Value Compare(const Napi::CallbackInfo &info)
	{
		Merging(info.Env());
		std::shared_ptr<struct file_merge> merge = merge_;
		return Pass::BeginInto(info.Env(), "compare files", Into(info[0]), [=](struct batch *out) {
			return file_merge_next(merge.get(), out);
		});
	}

	Napi::Value IsHungry(const Napi::CallbackInfo &info)
	{
		return Napi::Boolean::New(info.Env(), file_merge_is_hungry(Merging(info.Env())));
	}

	void Give(const Napi::CallbackInfo &info)
	{
		size_t len;
		const char *bytes = BytesOf(info[0], "before", &len);

		Check(info.Env(), file_merge_give(Merging(info.Env()), bytes, len), "compare files");
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
		merge_.reset();
	}

	std::shared_ptr<struct file_walk> walk_;
	std::shared_ptr<struct file_merge> merge_;
};

} // namespace

Napi::Function DefineFileWalk(Napi::Env env)
{
	return FileWalk::Define(env);
}

} // namespace addon
