/* A module of its own: what the drill and the bench do in C. The monitor loads none of it. */
#include "addon.h"

using namespace addon;

namespace {

Napi::Object Init(Napi::Env env, Napi::Object exports)
{
	exports.Set("attack", DefineAttack(env));
	exports.Set("bench", DefineBench(env));
	return exports;
}

} // namespace

NODE_API_MODULE(drill, Init)
