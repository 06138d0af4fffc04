/* SPDX-License-Identifier: MIT */
#include "import.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "array.h"

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

/* Compares as strcmp() would if the @length bytes of @name were all. */
static int compare_name(const char *named, const char *name, size_t length)
{
	int order = strncmp(named, name, length);

	return order ? order : named[length] != '\0';
}

/* Returns the position of the first name that is not below @name. */
static size_t find_name(const struct objects *objects, const char *name, size_t length)
{
	size_t low = 0, high = objects->nr_named;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (compare_name(objects->named[mid].name, name, length) < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

/* Returns the object of that name, which can only be at position @at; 0: there is none. */
static uint64_t object_at(const struct objects *objects, size_t at, const char *name, size_t length)
{
	if (at == objects->nr_named || compare_name(objects->named[at].name, name, length))
		return 0;
	return objects->named[at].object;
}

uint64_t objects_find_name(const struct objects *objects, const char *name, size_t length)
{
	return object_at(objects, find_name(objects, name, length), name, length);
}

uint64_t objects_by_name(struct objects *objects, const char *name, size_t length)
{
	size_t at = find_name(objects, name, length);
	uint64_t object = object_at(objects, at, name, length);
	struct named_object *named;
	char *copy;

	if (object)
		return object;
	copy = strndup(name, length);
	if (!copy)
		return 0;
	named = array_extend(objects->named, objects->nr_named, sizeof(*named));
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

/* Returns the entry of @fd, creating it if it is new; NULL: no memory. */
static struct open_file *get_fd(struct objects *objects, int64_t fd)
{
	struct open_file *file = find_fd(objects, fd);

	if (file)
		return file;
	file = array_extend(objects->files, objects->nr_files, sizeof(*file));
	if (!file)
		return NULL;
	objects->files = file;
	file += objects->nr_files++;
	*file = (struct open_file){ .fd = fd };
	return file;
}

int objects_set_fd(struct objects *objects, int64_t fd, uint64_t object)
{
	struct open_file *file = object ? get_fd(objects, fd) : find_fd(objects, fd);

	if (!file)
		return object ? -ENOMEM : 0;
	*file = (struct open_file){ .fd = fd, .object = object };
	return 0;
}

int objects_note_mapped(struct objects *objects, int64_t fd, uint64_t object)
{
	struct open_file *file = get_fd(objects, fd);

	if (!file)
		return -ENOMEM;
	file->mapped = object;
	return 0;
}

uint64_t objects_mapped(const struct objects *objects, int64_t fd)
{
	const struct open_file *file = find_fd(objects, fd);

	return file ? file->mapped : 0;
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
	segments = array_extend(objects->segments, objects->nr_segments, sizeof(*segments));
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
