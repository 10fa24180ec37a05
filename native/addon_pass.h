/* One pass off the event loop, as a promise of its batch. */
#ifndef RIMON_ADDON_PASS_H
#define RIMON_ADDON_PASS_H

#include <functional>

#include "addon.h"

namespace addon {

/* Holds what it runs on, so that closing that waits for the pass. */
class Pass : public Napi::AsyncWorker {
public:
	using Run = std::function<int(struct batch *)>;

	static Napi::Promise Begin(Napi::Env env, const char *what, Run run);
	/* Resolves with how many bytes of `into` are its batch, or with a Buffer if that is too small for it. */
	static Napi::Promise BeginInto(Napi::Env env, const char *what, Napi::Buffer<char> into, Run run);
	~Pass() override;

protected:
	void Execute() override;
	void OnOK() override;

private:
	Pass(Napi::Env env, const char *what, Run run);

	Napi::Reference<Napi::Buffer<char>> into_;
	Napi::Promise::Deferred promise_;
	std::string what_;
	Run run_;
	struct batch batch_ = {};
	int err_ = 0;
};

} // namespace addon

#endif
