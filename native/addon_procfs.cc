/* The Procfs object: its calls are passes off the event loop. */
#include <errno.h>

#include "addon_pass.h"
#include "isolation.h"

namespace addon {

namespace {

class Procfs : public Napi::ObjectWrap<Procfs> {
public:
	static Napi::Function Define(Napi::Env env)
	{
		return DefineClass(env, "Procfs", {
			InstanceMethod<&Procfs::Scan>("scan"),
			InstanceMethod<&Procfs::Walk>("walk"),
			InstanceMethod<&Procfs::Maps>("maps"),
			InstanceMethod<&Procfs::OpenFiles>("openFiles"),
			InstanceMethod<&Procfs::CodePages>("codePages"),
			InstanceMethod<&Procfs::Code>("code"),
			InstanceMethod<&Procfs::CodeNow>("codeNow"),
			InstanceMethod<&Procfs::Uprobes>("uprobes"),
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
	template <typename Run>
	Napi::Value Begin(const Napi::CallbackInfo &info, const char *what, Run run)
	{
		ProcfsHandle procfs = Handle(info.Env());

		return Pass::Begin(info.Env(), what, [=](struct batch *out) { return run(procfs.get(), out); });
	}

	Napi::Value Scan(const Napi::CallbackInfo &info)
	{
		uint32_t want = Uint32Of(info[0], "want");
		std::vector<uint32_t> pids;
		bool named = PidsOf(info[1], &pids);

		return Begin(info, "read the process table", [=](const struct procfs *p, struct batch *out) {
			struct pids which = { named, pids.data(), pids.size() };

			return proc_scan_run(p, want, &which, out);
		});
	}

	Napi::Value Walk(const Napi::CallbackInfo &info)
	{
		uint32_t want = Uint32Of(info[0], "want");
		const char *what = "";
		struct tasks *opened;

		Handle(info.Env());
		if (!tasks_) {
			int err = tasks_open(&opened, &what);

			Check(info.Env(), err, what);
			tasks_ = std::shared_ptr<struct tasks>(opened, tasks_close);
		}
		std::shared_ptr<struct tasks> tasks = tasks_;
		return Pass::Begin(info.Env(), "walk the tasks", [=](struct batch *out) {
			return tasks_read(tasks.get(), want, out);
		});
	}

	Napi::Value Maps(const Napi::CallbackInfo &info)
	{
		uint32_t pid = Uint32Of(info[0], "pid");
		bool is_known = !info[1].IsUndefined();
		uint64_t known = is_known ? Uint64Of(info[1], "known") : 0;

		return Begin(info, "read the mappings of a process", [=](const struct procfs *p, struct batch *out) {
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
		std::shared_ptr<struct tasks> tasks = tasks_;
		return Begin(info, "read the open files of processes", [=](const struct procfs *p, struct batch *out) {
			struct pids which = { named, pids.data(), pids.size() };

			return proc_files_sweep(p, tasks.get(), suffixes.data(), suffixes.size(), &which, out);
		});
	}

	Napi::Value CodePages(const Napi::CallbackInfo &info)
	{
		uint32_t pid = Uint32Of(info[0], "pid");
		bool by_pagemap = info[1].ToBoolean();

		return Begin(info, "read the code of a process", [=](const struct procfs *p, struct batch *out) {
			return proc_code_pages(p, pid, by_pagemap, out);
		});
	}

	Napi::Value Code(const Napi::CallbackInfo &info)
	{
		uint32_t pid = Uint32Of(info[0], "pid");

		return Begin(info, "read the code of a process", [=](const struct procfs *p, struct batch *out) {
			return proc_code_read(p, pid, out);
		});
	}

	/* The same on the event loop, for those who cannot wait for a promise. */
	Napi::Value CodeNow(const Napi::CallbackInfo &info)
	{
		struct batch batch = {};
		int err = proc_code_read(Handle(info.Env()).get(), Uint32Of(info[0], "pid"), &batch);
		Napi::Buffer<char> buffer = BufferOf(info.Env(), &batch);

		Check(info.Env(), err, "read the code of a process");
		return buffer;
	}

	Napi::Value Uprobes(const Napi::CallbackInfo &info)
	{
		std::shared_ptr<struct tasks> tasks = tasks_;

		return Begin(info, "read the uprobes", [=](const struct procfs *p, struct batch *out) {
			return uprobes_read(p, tasks.get(), out);
		});
	}

	Napi::Value IsPrivate(const Napi::CallbackInfo &info)
	{
		return Napi::Boolean::New(info.Env(), is_private_);
	}

	void Close(const Napi::CallbackInfo &)
	{
		handle_.reset();
		tasks_.reset();
	}

	ProcfsHandle handle_;
	std::shared_ptr<struct tasks> tasks_;	/* from the first walk on */
	bool is_private_ = false;
};

} // namespace

Napi::Function DefineProcfs(Napi::Env env)
{
	return Procfs::Define(env);
}

ProcfsHandle ProcfsOf(const Napi::Value &value)
{
	Napi::Env env = value.Env();

	if (!value.IsObject() || !value.As<Napi::Object>().InstanceOf(env.GetInstanceData<Instance>()->procfs.Value()))
		Refuse(env, "the procfs must be one that openProcfs gave");
	return Procfs::Unwrap(value.As<Napi::Object>())->Handle(env);
}

} // namespace addon
