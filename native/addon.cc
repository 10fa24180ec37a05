/* The module rimon: what it exports, and the calls that need no object. */
#include "addon.h"
#include "isolation.h"

using namespace addon;

namespace {

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

Napi::Value BpfPrograms(const Napi::CallbackInfo &info)
{
	struct batch batch = {};
	int err = bpf_programs_read(&batch);
	Napi::Buffer<char> buffer = BufferOf(info.Env(), &batch);

	Check(info.Env(), err, "read the loaded eBPF programs");
	return buffer;
}

Napi::Value SeccompFilters(const Napi::CallbackInfo &info)
{
	uint32_t pid = Uint32Of(info[0], "pid");
	struct batch batch = {};
	int err = seccomp_filters_read(pid, &batch);
	Napi::Buffer<char> buffer = BufferOf(info.Env(), &batch);

	Check(info.Env(), err, "read the seccomp filters of process " + std::to_string(pid));
	return buffer;
}

void Harden(const Napi::CallbackInfo &info)
{
	Check(info.Env(), harden(), "make this process undumpable");
}

void GiveBack(const Napi::CallbackInfo &)
{
	give_back();
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

/* (bytes, marks): the places of the marks that are in the bytes, rising. */
Napi::Value FindMarks(const Napi::CallbackInfo &info)
{
	Napi::Env env = info.Env();
	size_t len;
	const char *bytes = BytesOf(info[0], "bytes", &len);
	std::vector<struct mark> marks;
	Napi::Array places = Napi::Array::New(env);
	uint64_t found = 0;

	if (!info[1].IsArray())
		Refuse(env, "marks must be an array of Buffers");
	for (uint32_t i = 0; i < info[1].As<Napi::Array>().Length(); i++) {
		struct mark mark = {};

		mark.bytes = reinterpret_cast<const unsigned char *>(
			BytesOf(info[1].As<Napi::Array>().Get(i), "mark", &mark.len));
		marks.push_back(mark);
	}
	Check(env, marks_find(reinterpret_cast<const unsigned char *>(bytes), len, marks.data(), marks.size(), &found),
	      "look for 1 to 64 marks of at least two bytes");
	for (uint32_t i = 0; i < marks.size(); i++)
		if (found >> i & 1)
			places.Set(places.Length(), i);
	return places;
}

Napi::Object Init(Napi::Env env, Napi::Object exports)
{
	Instance *instance = new Instance;

	instance->procfs = Napi::Persistent(DefineProcfs(env));
	instance->watch = Napi::Persistent(DefineWatch(env));
	env.SetInstanceData(instance);
	exports.Set("recordVersion", RECORD_VERSION);
	exports.Set("openProcfs", Napi::Function::New<OpenProcfs>(env, "openProcfs"));
	exports.Set("openWatch", Napi::Function::New<OpenWatch>(env, "openWatch"));
	exports.Set("signalProcess", Napi::Function::New<SignalProcess>(env, "signalProcess"));
	exports.Set("bpfPrograms", Napi::Function::New<BpfPrograms>(env, "bpfPrograms"));
	exports.Set("seccompFilters", Napi::Function::New<SeccompFilters>(env, "seccompFilters"));
	exports.Set("findMarks", Napi::Function::New<FindMarks>(env, "findMarks"));
	exports.Set("harden", Napi::Function::New<Harden>(env, "harden"));
	exports.Set("giveBack", Napi::Function::New<GiveBack>(env, "giveBack"));
	exports.Set("capabilities", Napi::Function::New<Capabilities>(env, "capabilities"));
	exports.Set("execWithCapabilities", Napi::Function::New<ExecWithCapabilities>(env, "execWithCapabilities"));
	return exports;
}

} // namespace

NODE_API_MODULE(rimon, Init)
