/*
 * What the exec gate has to tell, where memory runs out at any moment:
 *
 *   memory_fuzz ITERATIONS SEED
 *
 * Each record that was added is told once, or is counted as lost; each batch is whole records, whatever failed.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gate_inner.h"

void *__real_realloc(void *old, size_t size);
void *__wrap_realloc(void *old, size_t size);

static uint64_t state;
static unsigned int fails_in;	/* 0: not at all */

static uint64_t draw(uint64_t below)
{
	state = state * 6364136223846793005ull + 1442695040888963407ull;
	return (state >> 33) % below;
}

void *__wrap_realloc(void *old, size_t size)
{
	if (fails_in && --fails_in == 0) {
		errno = ENOMEM;
		return NULL;
	}
	return __real_realloc(old, size);
}

static void expect(bool is_so, const char *what)
{
	if (is_so)
		return;
	fprintf(stderr, "expected that %s\n", what);
	exit(1);
}

struct counts {
	uint64_t added;
	uint64_t told;
	uint64_t lost;
	uint64_t mounts;
};

static void add(struct exec_gate *g, struct counts *counts)
{
	struct gate_told told;

	memset(&told, 'x', sizeof(told));
	memset(&told.r, 0, sizeof(told.r));
	told.r.inode = ++counts->added;
	told.r.path_len = (uint16_t)draw(GATE_NAME);
	told.r.by_len = (uint16_t)draw(GATE_NAME);
	told.r.comm_len = (uint16_t)draw(sizeof(told.comm));
	gate_told_add(g, &told);
}

static void take(struct exec_gate *g, struct counts *counts)
{
	static uint64_t last;
	struct batch batch = { 0 };
	size_t at, piece;

	fails_in = (unsigned int)draw(6);
	exec_gate_take(g, &batch);
	fails_in = 0;
	if (counts->told == 0)
		last = 0;
	for (at = 0; at < batch.len; at += piece) {
		union {
			struct record_head head;
			struct gate_record gate;
			struct lost_record lost;
		} record;

		piece = batch_piece(&batch, at, 1);
		expect(piece >= sizeof(record.head) && piece <= batch.len - at, "a batch is whole records");
		memset(&record, 0, sizeof(record));
		memcpy(&record, batch.data + at, piece < sizeof(record) ? piece : sizeof(record));
		expect(record.head.size == piece, "a record is as long as it says");
		switch (record.head.kind) {
		case RECORD_GATE:
			expect(record.gate.inode > last, "records are told once, in their order");
			last = record.gate.inode;
			counts->told++;
			break;
		case RECORD_LOST:
			expect(record.lost.source == LOST_GATE, "the gate's loss is told as that");
			counts->lost += record.lost.count;
			break;
		case RECORD_MOUNTS:
			counts->mounts++;
			break;
		default:
			expect(false, "nothing else is told");
		}
	}
	batch_free(&batch);
}

int main(int argc, char **argv)
{
	unsigned long iterations = argc == 3 ? strtoul(argv[1], NULL, 10) : 0, i;
	static struct exec_gate g;

	if (!iterations) {
		fprintf(stderr, "usage: memory_fuzz ITERATIONS SEED\n");
		return 2;
	}
	state = strtoull(argv[2], NULL, 10);
	pthread_mutex_init(&g.lock, NULL);
	for (i = 0; i < iterations; i++) {
		struct counts counts = { 0 };
		uint64_t turns = 1 + draw(6), adds, mounts = 0;

		memset(&g.status, 0, sizeof(g.status));
		while (turns--) {
			/* Now and then more than it has room for. */
			for (adds = draw(8) ? draw(12) : draw(2 * GATE_RING); adds; adds--)
				add(&g, &counts);
			if (draw(3) == 0) {
				g.mounts_changed = true;
				mounts = 1;
			}
			take(&g, &counts);
		}
		/* Memory comes back in the end. */
		while (g.ring_len || g.untold || g.mounts_changed)
			take(&g, &counts);
		expect(counts.told + counts.lost == counts.added, "what was added is told or counted as lost");
		expect(counts.lost == g.status.lost, "the status counts the same");
		expect(counts.mounts >= mounts, "a change of the mounts is told");
	}
	return 0;
}
