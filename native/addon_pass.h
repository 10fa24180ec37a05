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
	~Pass() override;

protected:
	void Execute() override;
	void OnOK() override;

private:
	Pass(Napi::Env env, const char *what, Run run);

	Napi::Promise::Deferred promise_;
	std::string what_;
	Run run_;
	struct batch batch_ = {};
	int err_ = 0;
};

} // namespace addon

#endif
