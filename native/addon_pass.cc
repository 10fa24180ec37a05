#include <cstring>

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

Napi::Promise Pass::BeginInto(Napi::Env env, const char *what, Napi::Buffer<char> into, Run run)
{
	Pass *pass = new Pass(env, what, std::move(run));
	Napi::Promise promise = pass->promise_.Promise();

	pass->into_ = Napi::Persistent(into);
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
	else if (!into_.IsEmpty() && batch_.len <= into_.Value().Length()) {
		if (batch_.len)
			memcpy(into_.Value().Data(), batch_.data, batch_.len);
		promise_.Resolve(Napi::Number::New(Env(), static_cast<double>(batch_.len)));
	} else
		promise_.Resolve(BufferOf(Env(), &batch_));
}

} // namespace addon
