/*
 * What a thread of C has gathered goes to a function of JavaScript, on the event
 * loop, in pieces.
 */
#ifndef RIMON_ADDON_DELIVERY_H
#define RIMON_ADDON_DELIVERY_H

#include "addon.h"

namespace addon {

/*
 * Outlives the object that made it, since a call already under way to the event
 * loop may arrive after its close(). `source` is then NULL.
 */
template <typename Source, void (*Take)(Source *, struct batch *)> class Delivery {
public:
	Source *source = nullptr;

	/* Throws. The function's finalizer deletes it. */
	static Delivery *To(Napi::Env env, napi_value function)
	{
		Delivery *delivery = new Delivery;
		napi_status status = napi_create_threadsafe_function(
			env, function, nullptr, Napi::String::New(env, "rimon"), 0, 1, nullptr,
			[](napi_env, void *, void *context) { delete static_cast<Delivery *>(context); }, delivery, Deliver,
			&delivery->function_);
		if (status != napi_ok) {
			delete delivery;
			throw Napi::Error::New(env);
		}
		return delivery;
	}

	/* On any thread; `context` is a Delivery. */
	static void Notify(void *context)
	{
		napi_call_threadsafe_function(static_cast<Delivery *>(context)->function_, nullptr, napi_tsfn_nonblocking);
	}

	/* It may be gone by the time this returns. */
	void End()
	{
		source = nullptr;
		napi_release_threadsafe_function(function_, napi_tsfn_abort);
	}

private:
	static constexpr size_t kPieceMax = 1 << 20;

	napi_threadsafe_function function_ = nullptr;

	static void Deliver(napi_env env, napi_value on_batch, void *context, void *)
	{
		Delivery *delivery = static_cast<Delivery *>(context);
		struct batch batch = {};

		if (!env || !delivery->source)
			return;
		Take(delivery->source, &batch);
		/* The callback may close the source. Plain N-API: while an environment is torn down every call fails, and none may throw. */
		for (size_t at = 0, piece; at < batch.len && delivery->source; at += piece) {
			napi_value receiver, argument, thrown;
			napi_handle_scope scope;
			bool pending = false;

			piece = batch_piece(&batch, at, kPieceMax);
			if (napi_open_handle_scope(env, &scope) != napi_ok)
				break;
			if (napi_create_buffer_copy(env, piece, batch.data + at, nullptr, &argument) == napi_ok &&
			    napi_get_undefined(env, &receiver) == napi_ok)
				napi_call_function(env, receiver, on_batch, 1, &argument, nullptr);
			/* As out of any event handler; what is behind it still arrives. */
			if (napi_is_exception_pending(env, &pending) == napi_ok && pending &&
			    napi_get_and_clear_last_exception(env, &thrown) == napi_ok)
				napi_fatal_exception(env, thrown);
			napi_close_handle_scope(env, scope);
		}
		batch_free(&batch);
	}
};

} // namespace addon

#endif
