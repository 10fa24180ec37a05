/* The drill's primitives, as JavaScript calls them. */
#include "addon.h"
#include "attack.h"

namespace addon {

namespace {

constexpr size_t kReadMax = 1 << 20;

/* What the table below says it does. */
std::string What(const Napi::CallbackInfo &info)
{
	return static_cast<const char *>(info.Data());
}

std::string On(const Napi::CallbackInfo &info, uint32_t pid)
{
	return What(info) + " on process " + std::to_string(pid);
}

/* `length` may be a buffer instead, which is then read into. */
template <typename Call>
Napi::Value Read(Napi::Env env, const Napi::Value &length, const std::string &what, Call read)
{
	if (length.IsBuffer()) {
		Napi::Buffer<char> into = length.As<Napi::Buffer<char>>();
		ssize_t got = read(into.Data(), into.Length());

		Check(env, static_cast<int>(got < 0 ? got : 0), what);
		return Napi::Buffer<char>::Copy(env, into.Data(), static_cast<size_t>(got));
	}
	size_t len = Uint32Of(length, "length");

	if (len > kReadMax)
		Refuse(env, "length must be at most 1 MiB");
	std::vector<char> bytes(len);
	ssize_t n = read(bytes.data(), len);
	Check(env, static_cast<int>(n < 0 ? n : 0), what);
	return Napi::Buffer<char>::Copy(env, bytes.data(), static_cast<size_t>(n));
}

/* Once for all that read so: a template would be compiled for each. */
Napi::Value ReadAddressBy(const Napi::CallbackInfo &info, ssize_t (*read)(uint32_t, uint64_t, char *, size_t))
{
	uint32_t pid = Uint32Of(info[0], "pid");
	uint64_t address = Uint64Of(info[1], "address");

	return Read(info.Env(), info[2], On(info, pid),
		    [=](char *buf, size_t len) { return read(pid, address, buf, len); });
}

template <ssize_t (*read)(uint32_t, uint64_t, char *, size_t)>
Napi::Value ReadAddress(const Napi::CallbackInfo &info)
{
	return ReadAddressBy(info, read);
}

Napi::Value ReadThreadBy(const Napi::CallbackInfo &info, ssize_t (*read)(uint32_t, char *, size_t))
{
	uint32_t tid = Uint32Of(info[0], "tid");

	return Read(info.Env(), info[1], On(info, tid),
		    [=](char *buf, size_t len) { return read(tid, buf, len); });
}

template <ssize_t (*read)(uint32_t, char *, size_t)>
Napi::Value ReadThread(const Napi::CallbackInfo &info)
{
	return ReadThreadBy(info, read);
}

template <int (*act)(uint32_t)>
void ActOn(const Napi::CallbackInfo &info)
{
	uint32_t pid = Uint32Of(info[0], "pid");

	Check(info.Env(), act(pid), On(info, pid));
}

void ActAtBy(const Napi::CallbackInfo &info, int (*act)(uint32_t, uint64_t))
{
	uint32_t pid = Uint32Of(info[0], "pid");

	Check(info.Env(), act(pid, Uint64Of(info[1], "address")), On(info, pid));
}

template <int (*act)(uint32_t, uint64_t)>
void ActAt(const Napi::CallbackInfo &info)
{
	ActAtBy(info, act);
}

template <int (*act)()>
void ActOnItself(const Napi::CallbackInfo &info)
{
	Check(info.Env(), act(), What(info));
}

template <int (*make)(uint32_t *)>
Napi::Value Make(const Napi::CallbackInfo &info)
{
	uint32_t number;

	Check(info.Env(), make(&number), What(info));
	return Napi::Number::New(info.Env(), number);
}

Napi::Value Secret(const Napi::CallbackInfo &info)
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

Napi::Value LowCopy(const Napi::CallbackInfo &info)
{
	uint64_t address;

	Check(info.Env(), attack_low_copy(&address), What(info));
	return Napi::BigInt::New(info.Env(), address);
}

void PtraceHold(const Napi::CallbackInfo &info)
{
	uint32_t tid = Uint32Of(info[0], "tid");

	Check(info.Env(), attack_ptrace_hold(tid, info[1].ToBoolean()), On(info, tid));
}

Napi::Value ProcessVmWritev(const Napi::CallbackInfo &info)
{
	uint32_t pid = Uint32Of(info[0], "pid");
	uint64_t address = Uint64Of(info[1], "address");
	size_t len;
	const char *bytes = BytesOf(info[2], "bytes", &len);
	ssize_t n = attack_process_vm_writev(pid, address, bytes, len);

	Check(info.Env(), static_cast<int>(n < 0 ? n : 0), On(info, pid));
	return Napi::Number::New(info.Env(), static_cast<double>(n));
}

void ProcessMadvise(const Napi::CallbackInfo &info)
{
	uint32_t pid = Uint32Of(info[0], "pid");
	uint64_t address = Uint64Of(info[1], "address");

	Check(info.Env(), attack_process_madvise(pid, address, Uint32Of(info[2], "length")), On(info, pid));
}

Napi::Value PidfdGetfd(const Napi::CallbackInfo &info)
{
	uint32_t pid = Uint32Of(info[0], "pid");
	uint32_t fd = Uint32Of(info[1], "fd");

	return Read(info.Env(), info[2], On(info, pid),
		    [=](char *buf, size_t len) { return attack_pidfd_getfd(pid, fd, buf, len); });
}

/* It stays mapped for as long as the process lives. */
Napi::Value Share(const Napi::CallbackInfo &info)
{
	std::string path = StringOf(info[0], "path");
	char *bytes;

	Check(info.Env(), attack_share(path.c_str(), &bytes), What(info) + " of " + path);
	return Napi::Buffer<char>::New(info.Env(), bytes, ATTACK_SHARED, [](Napi::Env, char *) {});
}

Napi::Value BindSocket(const Napi::CallbackInfo &info)
{
	std::string path = StringOf(info[0], "path");
	uint32_t fd;

	Check(info.Env(), attack_bind_socket(path.c_str(), &fd), What(info) + " to " + path);
	return Napi::Number::New(info.Env(), fd);
}

void SendDescriptor(const Napi::CallbackInfo &info)
{
	std::string path = StringOf(info[0], "path");

	Check(info.Env(), attack_send_descriptor(path.c_str(), Uint32Of(info[1], "fd")), What(info) + " to " + path);
}

Napi::Value ReceiveDescriptor(const Napi::CallbackInfo &info)
{
	uint32_t fd;

	Check(info.Env(), attack_receive_descriptor(Uint32Of(info[0], "socket"), &fd), What(info));
	return Napi::Number::New(info.Env(), fd);
}

Napi::Value Memfd(const Napi::CallbackInfo &info)
{
	size_t len;
	const char *bytes = BytesOf(info[0], "bytes", &len);
	uint32_t fd;

	Check(info.Env(), attack_memfd(bytes, len, &fd), What(info));
	return Napi::Number::New(info.Env(), fd);
}

Napi::Value BpfCopier(const Napi::CallbackInfo &info)
{
	uint32_t pid = Uint32Of(info[0], "pid");
	uint32_t fd;

	Check(info.Env(), attack_bpf_copier(pid, Uint64Of(info[1], "address"), &fd), On(info, pid));
	return Napi::Number::New(info.Env(), fd);
}

Napi::Value UringRead(const Napi::CallbackInfo &info)
{
	std::string path = StringOf(info[0], "path");
	uint64_t offset = Uint64Of(info[1], "offset");

	return Read(info.Env(), info[2], What(info) + " on " + path,
		    [&](char *buf, size_t len) { return attack_uring_read(path.c_str(), offset, buf, len); });
}

void UprobeBy(const Napi::CallbackInfo &info, int (*act)(uint32_t, const char *))
{
	uint32_t pid = Uint32Of(info[0], "pid");
	std::string function = StringOf(info[1], "function");

	Check(info.Env(), act(pid, function.c_str()), What(info) + " of " + function + " in process " + std::to_string(pid));
}

template <int (*act)(uint32_t, const char *)>
void Uprobe(const Napi::CallbackInfo &info)
{
	UprobeBy(info, act);
}

void DumpTo(const Napi::CallbackInfo &info)
{
	uint32_t pid = Uint32Of(info[0], "pid");
	std::string pattern = StringOf(info[1], "pattern");

	Check(info.Env(), attack_dump_to(pid, pattern.c_str()), What(info) + " to " + pattern + " by process " + std::to_string(pid));
}

} // namespace

Napi::Object DefineAttack(Napi::Env env)
{
	static const struct {
		const char *name;
		const char *what;
		Napi::Value (*call)(const Napi::CallbackInfo &);
	} calls[] = {
		{ "secret", "a secret", Secret },
		{ "startThread", "start a thread", Make<attack_start_thread> },
		{ "startComputing", "start a thread", Make<attack_start_computing> },
		{ "lowCopy", "map memory below 4 GiB", LowCopy },
		{ "holdSocket", "make a connection", Make<attack_hold_socket> },
		{ "ptraceAttach", "PTRACE_ATTACH", ReadAddress<attack_ptrace_attach> },
		{ "ptraceSeize", "PTRACE_SEIZE", ReadAddress<attack_ptrace_seize> },
		{ "ptracePeek", "PTRACE_PEEKDATA", ReadAddress<attack_ptrace_peek> },
		{ "ptraceRegisters", "PTRACE_GETREGSET", ReadThread<attack_ptrace_registers> },
		{ "share", "a mapping", Share },
		{ "processVmReadv", "process_vm_readv", ReadAddress<attack_process_vm_readv> },
		{ "processVmReadv32", "process_vm_readv by int 0x80", ReadAddress<attack_process_vm_readv_32> },
		{ "processVmWritev", "process_vm_writev", ProcessVmWritev },
		{ "procMemDetachedMount", "mem of another procfs", ReadAddress<attack_proc_mem_detached_mount> },
		{ "pidfdGetfd", "pidfd_getfd", PidfdGetfd },
		{ "bindSocket", "bind a socket", BindSocket },
		{ "receiveDescriptor", "receive a descriptor", ReceiveDescriptor },
		{ "memfd", "memfd_create", Memfd },
		{ "uringRead", "io_uring", UringRead },
		{ "perfStack", "perf_event_open", ReadThread<attack_perf_stack> },
		{ "bpfCopier", "bpf_copy_from_user_task", BpfCopier },
	};
	static const struct {
		const char *name;
		const char *what;
		void (*act)(const Napi::CallbackInfo &);
	} acts[] = {
		{ "openPage", "make a page executable", ActOnItself<attack_open_page> },
		{ "becomeDumpable", "become dumpable", ActOnItself<attack_become_dumpable> },
		{ "lowerCoreLimit", "setrlimit", ActOnItself<attack_lower_core_limit> },
		{ "ptraceHold", "PTRACE_SEIZE", PtraceHold },
		{ "ptraceRelease", "PTRACE_DETACH", ActOn<attack_ptrace_release> },
		{ "ptraceLeaveBreakpoint", "leaving a breakpoint", ActAt<attack_ptrace_leave_breakpoint> },
		{ "ptracePatchText", "PTRACE_POKETEXT", ActAt<attack_ptrace_patch_text> },
		{ "processMadvise", "process_madvise", ProcessMadvise },
		{ "patchText", "a write to mem", ActAt<attack_patch_text> },
		{ "kcmp", "kcmp", ActOn<attack_kcmp> },
		{ "sendDescriptor", "send a descriptor", SendDescriptor },
		{ "uprobe", "a uprobe", Uprobe<attack_uprobe> },
		{ "uprobeHold", "a uprobe with an eBPF program", Uprobe<attack_uprobe_hold> },
		{ "raiseCoreLimit", "prlimit", ActOn<attack_raise_core_limit> },
		{ "lowerLockLimit", "prlimit", ActOn<attack_lower_lock_limit> },
		{ "dumpTo", "a dump", DumpTo },
	};
	Napi::Object attack = Napi::Object::New(env);

	for (const auto &[name, what, call] : calls)
		attack.Set(name, Napi::Function::New(env, call, name, const_cast<char *>(what)));
	for (const auto &[name, what, act] : acts)
		attack.Set(name, Napi::Function::New(env, act, name, const_cast<char *>(what)));
	return attack;
}

} // namespace addon
