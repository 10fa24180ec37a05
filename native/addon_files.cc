/* A module of its own: walks over files, and the exec gate. A monitor that is asked for neither loads none of it. */
#include "addon.h"

using namespace addon;

namespace {

Napi::Value OpenFileWalk(const Napi::CallbackInfo &info)
{
	return info.Env().GetInstanceData<Instance>()->file_walk.New({ info[0], info[1], info[2], info[3] });
}

Napi::Value OpenGate(const Napi::CallbackInfo &info)
{
	return info.Env().GetInstanceData<Instance>()->gate.New({ info[0] });
}

Napi::Object Init(Napi::Env env, Napi::Object exports)
{
	Instance *instance = new Instance;

	instance->file_walk = Napi::Persistent(DefineFileWalk(env));
	instance->gate = Napi::Persistent(DefineGate(env));
	env.SetInstanceData(instance);
	exports.Set("openFileWalk", Napi::Function::New<OpenFileWalk>(env, "openFileWalk"));
	exports.Set("openGate", Napi::Function::New<OpenGate>(env, "openGate"));
	exports.Set("gateTry", Napi::Function::New<GateTry>(env, "gateTry"));
	return exports;
}

} // namespace

NODE_API_MODULE(files, Init)
