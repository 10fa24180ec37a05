{
  "target_defaults": {
    "defines": ["NAPI_VERSION=8", "NAPI_CPP_EXCEPTIONS", "NODE_API_SWALLOW_UNTHROWABLE_EXCEPTIONS", "_GNU_SOURCE"],
    "cflags": ["-Wall", "-Wextra", "-Werror", "-Os", "-fvisibility=hidden", "-fstack-protector-strong", "-ffunction-sections", "-fdata-sections", "-pthread"],
    "cflags_c": ["-std=c11", "-fno-asynchronous-unwind-tables"],
    "cflags_cc": [
      "-std=c++17",
      "-fstack-protector",
      "-Os",
      "-fexceptions",
      "-isystem", "<!(node -p \"require('node:path').resolve(require('node-addon-api').include_dir)\")"
    ],
    "cflags_cc!": ["-fno-exceptions"],
    "ldflags": ["-Wl,-z,relro,-z,now", "-Wl,--gc-sections,-u,rimon_made_from", "-Wl,--version-script=<(module_root_dir)/native/exports.map", "-pthread"]
  },
  "conditions": [
    ["OS=='linux'", {
      "targets": [
        {
          "target_name": "rimon",
          "sources": [
            "native/access.c",
            "native/addon.cc",
            "native/addon_procfs.cc",
            "native/addon_values.cc",
            "native/addon_watch.cc",
            "native/batch.c",
            "native/bpf.c",
            "native/bpf_programs.c",
            "native/calls.c",
            "native/decoy.c",
            "native/digest.c",
            "native/exec.c",
            "native/file_events.c",
            "native/give_back.c",
            "native/glibc_floor.c",
            "native/harden.c",
            "native/inflate.c",
            "native/kallsyms.c",
            "native/made_from.c",
            "native/marks.c",
            "native/memory.c",
            "native/pidfd.c",
            "native/priority.c",
            "native/proc_code.c",
            "native/proc_events.c",
            "native/proc_files.c",
            "native/proc_memory.c",
            "native/proc_parse.c",
            "native/proc_scan.c",
            "native/proc_text.c",
            "native/procfs.c",
            "native/record_check.c",
            "native/seccomp_filters.c",
            "native/signals.c",
            "native/skeleton.c",
            "native/sysctl.c",
            "native/tasks.c",
            "native/uprobes.c",
            "native/watch.c",
            "native/watch_access.c",
            "native/watch_calls.c",
            "native/watch_connector.c",
            "native/watch_exec.c",
            "native/watch_files.c",
            "native/watch_memory.c",
            "native/watch_protected.c",
            "native/watch_signals.c",
            "native/watch_sysctl.c"
          ]
        },
        {
          "target_name": "drill",
          "product_dir": "<(PRODUCT_DIR)/drill",
          "sources": [
            "native/addon_attack.cc",
            "native/addon_bench.cc",
            "native/addon_drill.cc",
            "native/addon_values.cc",
            "native/attack_bpf.c",
            "native/attack_core.c",
            "native/attack_decoy.c",
            "native/attack_descriptors.c",
            "native/attack_memory.c",
            "native/attack_perf.c",
            "native/attack_ptrace.c",
            "native/attack_uring.c",
            "native/bench.c",
            "native/bench_crypto.c",
            "native/bench_loops.c",
            "native/glibc_floor.c",
            "native/made_from.c",
            "native/proc_parse.c",
            "native/procfs.c",
            "native/uprobes.c"
          ]
        }
      ]
    }]
  ]
}
