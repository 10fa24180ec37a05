#include "addon_pass.h"

namespace addon {

Pass::Pass(Napi::Env env, const char *what, Run run)
	: Napi::AsyncWorker(env, "rimon"), promise_(Napi::Promise::Deferred::New(env)), what_(what), run_(std::move(run))
{
}

Pass::~Pass()
{
	batch_free(&batch_);
}

Napi::Promise Pass::Begin(Napi::Env env, const char *what, Run run)
{
	Pass *pass = new Pass(env, what, std::move(run));
	Napi::Promise promise = pass->promise_.Promise();

	pass->Queue();
	return promise;
}

void Pass::Execute()
{
	err_ = run_(&batch_);
	run_ = nullptr;
}

void Pass::OnOK()
{
	if (err_ < 0)
		promise_.Reject(ErrnoError(Env(), err_, what_).Value());
	else
		promise_.Resolve(BufferOf(Env(), &batch_));
}

} // namespace addon
