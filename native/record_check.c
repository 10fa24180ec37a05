/* The layout of record.h, held at compile time: a hole in a struct is an error, and src/records.ts counts on these sizes. */
#pragma GCC diagnostic error "-Wpadded"
#include "gate_table.h"
#include "record.h"

_Static_assert(sizeof(struct record_head) == 8, "record_head");
_Static_assert(sizeof(struct process_record) == 144, "process_record");
_Static_assert(sizeof(struct thread_record) == 32, "thread_record");
_Static_assert(sizeof(struct process_event_record) == 40, "process_event_record");
_Static_assert(sizeof(struct proc_file_record) == 48, "proc_file_record");
_Static_assert(sizeof(struct file_record) == 40, "file_record");
_Static_assert(sizeof(struct file_change_record) == 40, "file_change_record");
_Static_assert(sizeof(struct mounts_record) == 16, "mounts_record");
_Static_assert(sizeof(struct lost_record) == 24, "lost_record");
_Static_assert(sizeof(struct memory_record) == 72, "memory_record");
_Static_assert(sizeof(struct access_record) == 64, "access_record");
_Static_assert(sizeof(struct machine_memory_record) == 48, "machine_memory_record");
_Static_assert(sizeof(struct sysctl_record) == 48, "sysctl_record");
_Static_assert(sizeof(struct call_record) == 64, "call_record");
_Static_assert(sizeof(struct signal_record) == 48, "signal_record");
_Static_assert(sizeof(struct exec_record) == 40, "exec_record");
_Static_assert(sizeof(struct maps_record) == 32, "maps_record");
_Static_assert(sizeof(struct mapping_record) == 56, "mapping_record");
_Static_assert(sizeof(struct open_file_record) == 32, "open_file_record");
_Static_assert(sizeof(struct code_pages_record) == 40, "code_pages_record");
_Static_assert(sizeof(struct code_page_record) == 72, "code_page_record");
_Static_assert(sizeof(struct code_run_record) == 24, "code_run_record");
_Static_assert(sizeof(struct bpf_program_record) == 32, "bpf_program_record");
_Static_assert(sizeof(struct seccomp_filter_record) == 48, "seccomp_filter_record");
_Static_assert(sizeof(struct code_text_record) == 192, "code_text_record");
_Static_assert(sizeof(struct uprobe_record) == 40, "uprobe_record");
_Static_assert(sizeof(struct uprobes_record) == 24, "uprobes_record");
_Static_assert(sizeof(struct file_entry_record) == 128, "file_entry_record");
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "a baseline of files is kept as it is read");
_Static_assert(sizeof(struct gate_record) == 80, "gate_record");
_Static_assert(sizeof(struct gate_table_head) == 48, "gate_table_head");
_Static_assert(sizeof(struct gate_rule) == 48, "gate_rule");
_Static_assert(sizeof(struct gate_hash) == 36, "gate_hash");
