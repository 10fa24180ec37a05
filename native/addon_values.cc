/* Errors, arguments and buffers: what crosses between JavaScript and C. */
#include <stdlib.h>

#include "addon.h"

namespace addon {

Napi::Error ErrnoError(Napi::Env env, int err, const std::string &what)
{
	const char *name = uv_err_name(err);
	Napi::Error error = Napi::Error::New(env, what + ": " + name + ", " + uv_strerror(err));

	error.Set("code", name);
	error.Set("errno", static_cast<double>(err));
	return error;
}

void Check(Napi::Env env, int err, const std::string &what)
{
	if (err < 0)
		throw ErrnoError(env, err, what);
}

void Refuse(Napi::Env env, const std::string &expected)
{
	throw Napi::TypeError::New(env, expected);
}

uint32_t Uint32Of(const Napi::Value &value, const char *name)
{
	double number;

	if (!value.IsNumber())
		Refuse(value.Env(), std::string(name) + " must be a number");
	number = value.As<Napi::Number>().DoubleValue();
	if (!(number >= 0 && number <= UINT32_MAX) || number != static_cast<uint32_t>(number))
		Refuse(value.Env(), std::string(name) + " must be a whole number from 0 to 4294967295");
	return static_cast<uint32_t>(number);
}

uint64_t Uint53Of(const Napi::Value &value, const char *name)
{
	double number;

	if (!value.IsNumber())
		Refuse(value.Env(), std::string(name) + " must be a number");
	number = value.As<Napi::Number>().DoubleValue();
	if (!(number >= 0 && number <= 9007199254740991.0) || number != static_cast<double>(static_cast<uint64_t>(number)))
		Refuse(value.Env(), std::string(name) + " must be a whole number from 0 to 2^53 - 1");
	return static_cast<uint64_t>(number);
}

uint64_t Uint64Of(const Napi::Value &value, const char *name)
{
	bool lossless = false;
	uint64_t number = 0;

	if (value.IsBigInt())
		number = value.As<Napi::BigInt>().Uint64Value(&lossless);
	if (!lossless)
		Refuse(value.Env(), std::string(name) + " must be a bigint of at most 64 bits");
	return number;
}

std::string StringOf(const Napi::Value &value, const char *name)
{
	std::string text;

	if (!value.IsString())
		Refuse(value.Env(), std::string(name) + " must be a string");
	text = value.As<Napi::String>().Utf8Value();
	if (text.find('\0') != std::string::npos)
		Refuse(value.Env(), std::string(name) + " must not contain a NUL");
	return text;
}

std::vector<std::string> StringsOf(const Napi::Value &value, const char *name)
{
	std::vector<std::string> strings;

	if (!value.IsArray())
		Refuse(value.Env(), std::string(name) + " must be an array of strings");
	Napi::Array array = value.As<Napi::Array>();
	for (uint32_t i = 0; i < array.Length(); i++)
		strings.push_back(StringOf(array.Get(i), name));
	return strings;
}

const char *BytesOf(const Napi::Value &value, const char *name, size_t *ret_len)
{
	if (!value.IsBuffer())
		Refuse(value.Env(), std::string(name) + " must be a Buffer");
	*ret_len = value.As<Napi::Buffer<char>>().Length();
	return value.As<Napi::Buffer<char>>().Data();
}

bool PidsOf(const Napi::Value &value, std::vector<uint32_t> *pids)
{
	if (value.IsUndefined())
		return false;
	if (!value.IsTypedArray() || value.As<Napi::TypedArray>().TypedArrayType() != napi_uint32_array)
		Refuse(value.Env(), "pids must be a Uint32Array");
	Napi::Uint32Array array = value.As<Napi::Uint32Array>();
	pids->assign(array.Data(), array.Data() + array.ElementLength());
	return true;
}

std::vector<uint64_t> Uint64sOf(const Napi::Value &value, const char *name)
{
	if (!value.IsTypedArray() || value.As<Napi::TypedArray>().TypedArrayType() != napi_biguint64_array)
		Refuse(value.Env(), std::string(name) + " must be a BigUint64Array");
	Napi::BigUint64Array array = value.As<Napi::BigUint64Array>();
	return std::vector<uint64_t>(array.Data(), array.Data() + array.ElementLength());
}

Napi::Buffer<char> BufferOf(Napi::Env env, struct batch *batch)
{
	struct batch taken = *batch;

	*batch = {};
	if (!taken.data)
		return Napi::Buffer<char>::New(env, 0);
	return Napi::Buffer<char>::NewOrCopy(env, taken.data, taken.len, [](Napi::Env, char *data) { free(data); });
}

} // namespace addon
