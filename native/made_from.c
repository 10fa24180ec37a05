/* What this addon was made from and with; `readelf -p .rimon` shows it. scripts/build.mjs knows both, node-gyp neither. */
#ifndef RIMON_SOURCE_HASH
#define RIMON_SOURCE_HASH	"unknown"
#define RIMON_COMPILER		"unknown"
#endif

/* binding.gyp tells the linker to keep it, which nothing refers to. */
__attribute__((section(".rimon"))) const char rimon_made_from[] =
	"rimon, source sha256:" RIMON_SOURCE_HASH "\0compiler " RIMON_COMPILER;
