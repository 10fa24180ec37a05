/* The module: what it exports, and the calls that need no object. */
#include "addon.h"

using namespace addon;

namespace {

constexpr size_t kReadMax = 1 << 20;

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

void AttackLeaveBreakpoint(const Napi::CallbackInfo &info)
{
	uint32_t pid = Uint32Of(info[0], "pid");

	Check(info.Env(), attack_leave_breakpoint(pid, Uint64Of(info[1], "address")),
	      "leave a breakpoint in process " + std::to_string(pid));
}

void AttackOpenPage(const Napi::CallbackInfo &info)
{
	Check(info.Env(), attack_open_page(), "make a page executable");
}

Napi::Object Init(Napi::Env env, Napi::Object exports)
{
	Instance *instance = new Instance;
	Napi::Object attack = Napi::Object::New(env);

	instance->procfs = Napi::Persistent(DefineProcfs(env));
	instance->watch = Napi::Persistent(DefineWatch(env));
	env.SetInstanceData(instance);
	attack.Set("secret", Napi::Function::New<AttackSecret>(env, "secret"));
	attack.Set("startThread", Napi::Function::New<AttackStartThread>(env, "startThread"));
	attack.Set("ptraceAttach", Napi::Function::New<AttackPtraceAttach>(env, "ptraceAttach"));
	attack.Set("ptraceSeize", Napi::Function::New<AttackPtraceSeize>(env, "ptraceSeize"));
	attack.Set("processVmReadv", Napi::Function::New<AttackProcessVmReadv>(env, "processVmReadv"));
	attack.Set("pidfdGetfd", Napi::Function::New<AttackPidfdGetfd>(env, "pidfdGetfd"));
	attack.Set("procMemDetachedMount", Napi::Function::New<AttackProcMemDetachedMount>(env, "procMemDetachedMount"));
	attack.Set("patchText", Napi::Function::New<AttackPatchText>(env, "patchText"));
	attack.Set("leaveBreakpoint", Napi::Function::New<AttackLeaveBreakpoint>(env, "leaveBreakpoint"));
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
