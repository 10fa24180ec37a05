/* What the bench times: one call for all of it, numbers and bytes in, bytes out. */
#include "addon.h"
#include "bench.h"

namespace addon {

namespace {

struct bytes BytesOf(const Napi::Value &value)
{
	struct bytes bytes = {};

	if (value.IsBuffer())
		bytes.data = addon::BytesOf(value, "bytes", &bytes.len);
	return bytes;
}

/* (how, into, bytes, bytes, bytes) */
void Run(const Napi::CallbackInfo &info)
{
	std::vector<uint64_t> how = Uint64sOf(info[0], "how");
	struct bytes into = BytesOf(info[1]), in[] = { BytesOf(info[2]), BytesOf(info[3]), BytesOf(info[4]) };

	how.resize(BENCH_NUMBERS);
	Check(info.Env(), bench_run(how.data(), in, const_cast<char *>(into.data), into.len), "bench");
}

} // namespace

Napi::Function DefineBench(Napi::Env env)
{
	return Napi::Function::New<Run>(env);
}

} // namespace addon
