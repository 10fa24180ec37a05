/*
 * What the addon's files share. They alone know N-API: arguments become
 * numbers, batches become buffers, -errno becomes an Error with a code. What
 * to do is decided in C.
 */
#ifndef RIMON_ADDON_H
#define RIMON_ADDON_H

#include <memory>
#include <string>
#include <vector>

#include <napi.h>

#include "rimon.h"

/* Of libuv, in every Node: declared here, since its headers come with Node and not from npm. */
extern "C" const char *uv_err_name(int err);
extern "C" const char *uv_strerror(int err);

namespace addon {

/* addon_values.cc */
Napi::Error ErrnoError(Napi::Env env, int err, const std::string &what);
void Check(Napi::Env env, int err, const std::string &what);
[[noreturn]] void Refuse(Napi::Env env, const std::string &expected);
uint32_t Uint32Of(const Napi::Value &value, const char *name);
uint64_t Uint53Of(const Napi::Value &value, const char *name);
uint64_t Uint64Of(const Napi::Value &value, const char *name);
std::string StringOf(const Napi::Value &value, const char *name);
std::vector<std::string> StringsOf(const Napi::Value &value, const char *name);
/* A Buffer's bytes, valid as long as the value is. */
const char *BytesOf(const Napi::Value &value, const char *name, size_t *ret_len);
/* A BigUint64Array. */
std::vector<uint64_t> Uint64sOf(const Napi::Value &value, const char *name);
/* undefined: none were named. */
bool PidsOf(const Napi::Value &value, std::vector<uint32_t> *pids);
/* Takes the batch's memory over. */
Napi::Buffer<char> BufferOf(Napi::Env env, struct batch *batch);

/* addon_procfs.cc */
using ProcfsHandle = std::shared_ptr<const struct procfs>;

Napi::Function DefineProcfs(Napi::Env env);
ProcfsHandle ProcfsOf(const Napi::Value &value);

/* addon_attack.cc */
Napi::Object DefineAttack(Napi::Env env);

/* addon_bench.cc */
Napi::Function DefineBench(Napi::Env env);

/* addon_walk.cc */
Napi::Function DefineFileWalk(Napi::Env env);
/* addon_gate.cc */
Napi::Function DefineGate(Napi::Env env);
/* What a table says of a file. */
Napi::Value GateTry(const Napi::CallbackInfo &info);

/* addon_watch.cc */
Napi::Function DefineWatch(Napi::Env env);

/* What the addon keeps per environment: a worker thread has its own. */
struct Instance {
	Napi::FunctionReference procfs;
	Napi::FunctionReference watch;
	Napi::FunctionReference file_walk;
	Napi::FunctionReference gate;
};

} // namespace addon

#endif
