/* SPDX-License-Identifier: MIT */
#include "import.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void objects_destroy(struct objects *objects)
{
	for (size_t i = 0; i < objects->nr_named; i++)
		free(objects->named[i].name);
	free(objects->named);
	free(objects->files);
	free(objects->segments);
}

uint64_t objects_new(struct objects *objects)
{
	return ++objects->last;
}

/* Returns the position of the first name that is not below @name. */
static size_t find_name(const struct objects *objects, const char *name)
{
	size_t low = 0, high = objects->nr_named;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (strcmp(objects->named[mid].name, name) < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

/*
 * Makes room for one element more in @array, which has @nr; its capacity is the next power of two.
 */
static void *one_more(void *array, size_t nr, size_t size)
{
	if (nr & (nr - 1))
		return array;
	return realloc(array, (nr ? nr * 2 : 1) * size);
}

uint64_t objects_by_name(struct objects *objects, const char *name, size_t length)
{
	char *copy = strndup(name, length);
	struct named_object *named;
	size_t at;

	if (!copy)
		return 0;
	at = find_name(objects, copy);
	if (at < objects->nr_named && !strcmp(objects->named[at].name, copy)) {
		free(copy);
		return objects->named[at].object;
	}
	named = one_more(objects->named, objects->nr_named, sizeof(*named));
	if (!named) {
		free(copy);
		return 0;
	}
	objects->named = named;
	memmove(&named[at + 1], &named[at], (objects->nr_named - at) * sizeof(*named));
	objects->nr_named++;
	named[at] = (struct named_object){ copy, objects_new(objects) };
	return named[at].object;
}

static struct open_file *find_fd(const struct objects *objects, int64_t fd)
{
	for (size_t i = 0; i < objects->nr_files; i++) {
		if (objects->files[i].fd == fd)
			return &objects->files[i];
	}
	return NULL;
}

bool objects_knows_fd(const struct objects *objects, int64_t fd)
{
	const struct open_file *file = find_fd(objects, fd);

	return file && file->object;
}

int objects_set_fd(struct objects *objects, int64_t fd, uint64_t object)
{
	struct open_file *file = find_fd(objects, fd);

	if (!file && !object)
		return 0;
	if (!file) {
		file = one_more(objects->files, objects->nr_files, sizeof(*file));
		if (!file)
			return -ENOMEM;
		objects->files = file;
		file += objects->nr_files++;
	}
	*file = (struct open_file){ fd, object };
	return 0;
}

uint64_t objects_by_fd(struct objects *objects, int64_t fd)
{
	if (!objects_knows_fd(objects, fd) && objects_set_fd(objects, fd, objects_new(objects)))
		return 0;
	return find_fd(objects, fd)->object;
}

struct segment *objects_segment(struct objects *objects, uint64_t id)
{
	struct segment *segments;

	for (size_t i = 0; i < objects->nr_segments; i++) {
		if (objects->segments[i].id == id)
			return &objects->segments[i];
	}
	segments = one_more(objects->segments, objects->nr_segments, sizeof(*segments));
	if (!segments)
		return NULL;
	objects->segments = segments;
	segments[objects->nr_segments] = (struct segment){ id, 0, objects_new(objects) };
	return &segments[objects->nr_segments++];
}

bool objects_is_segment(const struct objects *objects, uint64_t object)
{
	for (size_t i = 0; i < objects->nr_segments; i++) {
		if (objects->segments[i].object == object)
			return true;
	}
	return false;
}
