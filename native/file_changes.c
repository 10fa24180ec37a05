/* What an event says, made a change of a path by a process, if that path is watched. */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "file_watching.h"

#define ACTORS_BYTES	((size_t)2 << 20)
#define KNOWN_FOR_NS	500000000ull

static bool is_alive(int pidfd)
{
	return syscall(SYS_pidfd_send_signal, pidfd, 0, NULL, 0) == 0 || errno != ESRCH;
}

/* The start time of who did it, read once while it lives; 0: it is gone. */
static uint64_t actor_find(struct file_watch *f, uint32_t pid, int pidfd)
{
	const struct process_record *r;
	struct actor_seen *seen = NULL;
	uint64_t ticks = 0;
	size_t i;

	/* 0: of another pid namespace. */
	if (!pid)
		return 0;
	for (i = 0; i < FILE_ACTORS && !seen; i++)
		if (f->actors[i].pid == pid && f->now_ns - f->actors[i].at_ns <= KNOWN_FOR_NS)
			seen = &f->actors[i];
	if (seen && seen->read == f->reads)
		return seen->start_ticks;
	if (pidfd == FAN_NOPIDFD || proc_start_ticks(f->procfs->root, pid, &ticks) < 0)
		/* Nobody else has its number so soon. */
		return seen ? seen->start_ticks : 0;
	if (seen && seen->start_ticks == ticks) {
		seen->read = f->reads;
		return ticks;
	}
	batch_clear(&f->scratch);
	if (proc_scan_one(f->scan, pid, WANT_ENRICHED, &f->scratch) < 0)
		return 0;
	r = batch_record(&f->scratch);
	/* What was read is another's if this one has gone. */
	if (!r || (pidfd >= 0 && !is_alive(pidfd)))
		return 0;
	f->actors[f->actors_next] = (struct actor_seen){ pid, r->start_ticks, f->now_ns, f->reads };
	f->actors_next = (f->actors_next + 1) % FILE_ACTORS;
	pthread_mutex_lock(&f->lock);
	if (f->filling.actors.len + f->scratch.len <= ACTORS_BYTES)
		batch_append(&f->filling.actors, &f->scratch);
	if (f->filling.actors.error)
		batch_clear(&f->filling.actors);
	pthread_mutex_unlock(&f->lock);
	return r->start_ticks;
}

void file_change_add(struct file_watch *f, uint32_t pid, int pidfd, uint32_t bits, size_t path_len, size_t from_len)
{
	struct file_change change = {
		.time_ns = f->now_ns,
		.start_ticks = actor_find(f, pid, pidfd),
		.pid = pid,
		.bits = bits,
		.path_len = (uint16_t)path_len,
		.from_len = (uint16_t)from_len,
	};

	pthread_mutex_lock(&f->lock);
	if (!file_queue_add(&f->filling, &change, f->path, f->from))
		f->dropped++;
	pthread_mutex_unlock(&f->lock);
}

static void change_add(struct file_watch *f, const struct file_event *event, uint32_t bits, size_t path_len,
		       size_t from_len)
{
	file_change_add(f, event->pid, event->pidfd, bits, path_len, from_len);
}

void file_overflow(struct file_watch *f)
{
	f->overflows++;
	pthread_mutex_lock(&f->lock);
	f->overflows_untold++;
	pthread_mutex_unlock(&f->lock);
	/* A folder that was moved meanwhile is not told of. */
	file_folders_forget(f->folders);
}

/* The path of a name in a folder; 0 if it is longer than paths are. */
static size_t entry_path(const struct file_folder *folder, const struct file_entry *entry, char *path)
{
	size_t len = folder->path_len;

	if (len + 1 + entry->name_len > FILE_PATH_MAX)
		return 0;
	memcpy(path, file_folder_path(folder), len);
	/* Of the folder itself. */
	if (entry->name_len == 1 && entry->name[0] == '.' && len)
		return len;
	path[len++] = '/';
	if (entry->name_len == 1 && entry->name[0] == '.')
		return len;
	memcpy(path + len, entry->name, entry->name_len);
	return len + entry->name_len;
}

static bool entry_wanted(const struct file_watch *f, const struct file_folder *folder, const char *path, size_t len,
			 uint64_t mask)
{
	if (!folder->mixed)
		return folder->inside;
	if (file_folders_wants(f->folders, path, len))
		return true;
	/* Who takes away the folder above it takes away what is watched. */
	return (mask & FAN_ONDIR) && (mask & ~(uint64_t)(CONTENT_MASK | FAN_ONDIR)) &&
	       file_folders_leads(f->folders, path, len);
}

static uint32_t bits_of(uint64_t mask)
{
	return (mask & FAN_CREATE ? CHANGE_CREATED : 0u) | (mask & FAN_DELETE ? CHANGE_REMOVED : 0u) |
	       (mask & FAN_MODIFY ? CHANGE_WRITTEN : 0u) | (mask & FAN_CLOSE_WRITE ? CHANGE_CLOSED : 0u) |
	       (mask & FAN_ATTRIB ? CHANGE_ATTRIBUTES : 0u) | (mask & FAN_ONDIR ? CHANGE_FOLDER : 0u);
}

/* A change of a file whose name the kernel does not say, since it came by none: its number of links, or its contents by a handle. */
static void nameless_event(struct file_watch *f, const struct file_event *event)
{
	uint32_t links;
	ssize_t len = file_folders_path(f->folders, &event->target, f->path, FILE_PATH_MAX, &links);

	/* Whoever takes the last name away is told by that. */
	if (len > 0 && links && file_folders_wants(f->folders, f->path, (size_t)len))
		change_add(f, event, bits_of(event->mask), (size_t)len, 0);
}

static void moved(struct file_watch *f, const struct file_event *event, bool folder, size_t len, bool wanted,
		  size_t from_len, bool from_wanted)
{
	if (!wanted && !from_wanted)
		return;
	change_add(f, event,
		   CHANGE_MOVED | (folder ? CHANGE_FOLDER : 0u) | (wanted ? 0u : CHANGE_TO_OUTSIDE) |
			   (from_wanted ? 0u : CHANGE_FROM_OUTSIDE),
		   len, from_len);
}

static void rename_event(struct file_watch *f, const struct file_event *event)
{
	const struct file_folder *folder = file_folders_find(f->folders, &event->old.folder);
	bool wanted = false, from_wanted = false, is_folder = event->mask & FAN_ONDIR;
	size_t len = 0, from_len = 0;

	if (folder) {
		from_len = entry_path(folder, &event->old, f->from);
		from_wanted = entry_wanted(f, folder, f->from, from_len, event->mask);
	}
	/* Finding the one may throw the other away. */
	folder = file_folders_find(f->folders, &event->entry.folder);
	if (folder) {
		len = entry_path(folder, &event->entry, f->path);
		wanted = entry_wanted(f, folder, f->path, len, event->mask);
	} else {
		f->unresolved++;
	}
	moved(f, event, is_folder, len, wanted, from_len, from_wanted);
	if (is_folder)
		file_folders_forget(f->folders);
}

/* Ends the wait for the other half: what was moved is gone from where it was. */
void file_half_settle(struct file_watch *f)
{
	struct file_event event = { .pid = f->half.pid, .pidfd = FAN_NOPIDFD };

	if (!f->half.is_open)
		return;
	f->half.is_open = false;
	if (!f->half.wanted)
		return;
	memcpy(f->path, f->half.path, f->half.len);
	change_add(f, &event, CHANGE_REMOVED | (f->half.folder ? CHANGE_FOLDER : 0u), f->half.len, 0);
}

/* Before v5.17: the two halves come one behind the other. */
static void half_event(struct file_watch *f, const struct file_event *event, size_t len, bool wanted)
{
	bool is_folder = event->mask & FAN_ONDIR;

	if (event->mask & FAN_MOVED_TO) {
		if (f->half.is_open && f->half.pid == event->pid && f->half.folder == is_folder) {
			f->half.is_open = false;
			memcpy(f->from, f->half.path, f->half.len);
			moved(f, event, is_folder, len, wanted, f->half.len, f->half.wanted);
		} else if (wanted) {
			file_half_settle(f);
			change_add(f, event, CHANGE_CREATED | (is_folder ? CHANGE_FOLDER : 0u), len, 0);
		}
	}
	if (event->mask & FAN_MOVED_FROM) {
		file_half_settle(f);
		f->half.is_open = true;
		f->half.pid = event->pid;
		f->half.wanted = wanted;
		f->half.folder = is_folder;
		f->half.len = len;
		memcpy(f->half.path, f->path, len);
		/* While it can still be read. */
		if (wanted)
			actor_find(f, event->pid, event->pidfd);
	}
	if (is_folder)
		file_folders_forget(f->folders);
}

static void named_event(struct file_watch *f, const struct file_event *event)
{
	const struct file_folder *folder = file_folders_find(f->folders, &event->entry.folder);
	uint32_t bits = bits_of(event->mask);
	bool wanted;
	size_t len;

	if (!folder) {
		/* That it went is told where it was. */
		f->unresolved++;
		return;
	}
	if (!folder->mixed && !folder->inside && !(event->mask & MOVED_MASK))
		return;
	len = entry_path(folder, &event->entry, f->path);
	if (!len) {
		f->unresolved++;
		return;
	}
	wanted = entry_wanted(f, folder, f->path, len, event->mask);
	/* It may be gone with all that is in it before any of that is looked at. */
	if (wanted && (event->mask & FAN_CREATE) && (event->mask & FAN_ONDIR))
		file_folders_learn(f->folders, &event->target, folder, event->entry.name, event->entry.name_len);
	if (wanted && (bits & ~(uint32_t)CHANGE_FOLDER))
		change_add(f, event, bits, len, 0);
	if (event->mask & MOVED_MASK)
		half_event(f, event, len, wanted);
}

void file_event_take(struct file_watch *f, const struct file_event *event)
{
	if (event->mask & FAN_Q_OVERFLOW)
		return file_overflow(f);
	f->events++;
	if (event->pid == f->self) {
		/* What rimon itself writes; of its moves there must be no wrong memory. */
		if ((event->mask & FAN_ONDIR) && (event->mask & (FAN_RENAME | MOVED_MASK)))
			file_folders_forget(f->folders);
		return;
	}
	if (event->mask & FAN_RENAME)
		rename_event(f, event);
	else if (event->entry.name_len)
		named_event(f, event);
	else
		nameless_event(f, event);
}
