/* SPDX-License-Identifier: MIT */
#include "field.h"

#include "support/inlines.h"

#include <stdlib.h>

static unsigned long load(const unsigned long *p)
{
	return __atomic_load_n(p, __ATOMIC_ACQUIRE);
}

static void store(unsigned long *p, unsigned long value)
{
	__atomic_store_n(p, value, __ATOMIC_RELEASE);
}

/* ---- Writing */

bool field_plant(struct field *f)
{
	for (unsigned long i = 0; i < f->stripes; i++) {
		if (mtree_store_range(&f->tree, STRIPE * i, STRIPE * i + FIXED - 1, xa_mk_value(i),
				      GFP_KERNEL))
			return false;
	}
	return true;
}

bool field_start(struct field *f, unsigned int flags, enum mt_rcu_flavor flavor,
		 unsigned long stripes, unsigned long writers)
{
	*f = (struct field){ .stripes = stripes, .writers = writers, .fixed_stay = true };
	mt_init_flags(&f->tree, flags & ~MT_FLAGS_USE_RCU);
	if (mt_set_rcu_flavor(&f->tree, flavor) || !pool_start(&f->pool, flavor, 60000))
		return false;
	if (flags & MT_FLAGS_USE_RCU)
		mt_set_in_rcu(&f->tree);
	f->keys = calloc(stripes * STRIPE, sizeof(*f->keys));
	if (!f->keys)
		return false;
	for (unsigned long k = 0; k < stripes * STRIPE; k++)
		f->keys[k].done = 1; /* version 0, NULL */
	return field_plant(f);
}

/* Makes @key map to @to. An object that loses its last key is removed. */
static void hand_over(struct field *f, unsigned long key, struct object *to)
{
	struct object *from = f->keys[key].object;

	f->keys[key].object = to;
	if (to)
		to->keys++;
	if (from && --from->keys == 0)
		pool_remove(&f->pool, from);
}

static void begin(struct field *f, unsigned long first, unsigned long last, unsigned long version)
{
	for (unsigned long k = first; k <= last; k++)
		store(&f->keys[k].begun, version);
}

static void finish(struct field *f, unsigned long first, unsigned long last, unsigned long version,
		   struct object *object)
{
	for (unsigned long k = first; k <= last; k++) {
		store(&f->keys[k].done, 2 * version + !object);
		hand_over(f, k, object);
	}
}

/* Stores in one of several ways. */
static int store_somehow(struct field *f, unsigned long first, unsigned long last, void *entry,
			 struct rng *rng)
{
	MA_STATE(mas, &f->tree, first, last);
	int err = 0;

	switch (rng_below(rng, 4)) {
	case 0:
		mas_lock(&mas);
		err = mas_store_gfp(&mas, entry, GFP_KERNEL);
		mas_unlock(&mas);
		return err;
	case 1:
		mas_lock(&mas);
		err = mas_preallocate(&mas, entry, GFP_KERNEL);
		if (!err)
			mas_store_prealloc(&mas, entry);
		mas_unlock(&mas);
		return err;
	default:
		return mtree_store_range(&f->tree, first, last, entry, GFP_KERNEL);
	}
}

/* Erases the whole range around @key by mtree_erase(). */
static void erase(struct field *f, unsigned long key, unsigned long version)
{
	struct object *object = f->keys[key].object;
	unsigned long first = key, last = key, end = (key | (STRIPE - 1));
	void *got;

	if (!object)
		return;
	while (f->keys[first - 1].object == object)
		first--;
	while (last < end && f->keys[last + 1].object == object)
		last++;
	begin(f, first, last, version);
	got = mtree_erase(&f->tree, key);
	if (got != object)
		blame(&f->blame, "mtree_erase(%lu): %p, should be %p", key, got, (void *)object);
	finish(f, first, last, version, NULL);
}

void field_write(struct field *f, unsigned long id, unsigned long *version, struct rng *rng)
{
	unsigned long mine = f->stripes / f->writers,
		      stripe = rng_below(rng, mine) * f->writers + id;
	unsigned long low = STRIPE * stripe + FIXED, high = STRIPE * (stripe + 1) - 1;
	unsigned long first = low + rng_below(rng, high - low + 1);
	unsigned long last = first + rng_below(rng, rng_one_in(rng, 4) ? high - first + 1 : 5);
	struct object *object = NULL;

	if (last > high)
		last = high;
	++*version;
	if (rng_one_in(rng, 6)) {
		erase(f, first, *version);
		return;
	}
	if (!rng_one_in(rng, 3)) {
		object = pool_take(&f->pool);
		object->first = first;
		object->last = last;
		object->version = *version;
	}
	begin(f, first, last, *version);
	if (store_somehow(f, first, last, object, rng))
		blame(&f->blame, "a store over [%lu..%lu] failed", first, last);
	finish(f, first, last, *version, object);
}

void field_raze(struct field *f, unsigned long *version)
{
	unsigned long last = f->stripes * STRIPE - 1;

	++*version;
	begin(f, 0, last, *version);
	mtree_destroy(&f->tree);
	finish(f, 0, last, *version, NULL);
}

/* ---- Reading */

static bool is_fixed(const void *entry)
{
	return xa_is_value(entry);
}

/* Whether an object that was found over [first..last] is alive and was stored there. */
static bool object_good(struct field *f, const struct object *object, unsigned long first,
			unsigned long last)
{
	unsigned int age = __atomic_load_n(&object->age, __ATOMIC_RELAXED);

	if (age > 0)
		blame(&f->blame, "[%lu..%lu]: met an object %u grace periods after its removal",
		      first, last, age);
	else if (first < object->first || last > object->last)
		blame(&f->blame, "[%lu..%lu]: holds the object of [%lu..%lu]", first, last,
		      object->first, object->last);
	return !blamed(&f->blame);
}

/* Checks that the entry at @key was there at some moment since done was @before. */
static void judge(struct field *f, unsigned long key, void *entry, unsigned long before)
{
	unsigned long begun = load(&f->keys[key].begun);
	struct object *object = entry;

	if (key % STRIPE < FIXED) {
		if (entry ? entry != xa_mk_value(key / STRIPE) : f->fixed_stay)
			blame(&f->blame, "%lu: fixed entry is %p", key, entry);
		return;
	}
	if (!entry) {
		if (!(before & 1) && begun == before / 2)
			blame(&f->blame, "%lu: NULL, but version %lu is stored", key, begun);
		return;
	}
	if (is_fixed(entry)) {
		blame(&f->blame, "%lu: the fixed entry %p", key, entry);
		return;
	}
	if (!object_good(f, object, key, key))
		return;
	if (object->version < before / 2 || (object->version == before / 2 && (before & 1)))
		blame(&f->blame, "%lu: version %lu, but %lu had been replaced", key,
		      object->version, before / 2);
	else if (object->version > begun)
		blame(&f->blame, "%lu: version %lu before it began", key, object->version);
}

/* CONTEXT: a read-side critical section that began before, so that the object stays. */
static void read_one(struct field *f, struct rng *rng)
{
	unsigned long key = rng_below(rng, f->stripes * STRIPE), before = load(&f->keys[key].done),
		      index;
	MA_STATE(mas, &f->tree, key, key);
	void *entry;

	switch (rng_below(rng, 3)) {
	case 0:
		entry = mtree_load(&f->tree, key);
		break;
	case 1:
		entry = mas_walk(&mas);
		if (key < mas.index || key > mas.last)
			blame(&f->blame, "%lu: walk gave [%lu..%lu]", key, mas.index, mas.last);
		if (entry && !is_fixed(entry))
			object_good(f, entry, mas.index, mas.last);
		break;
	default:
		index = key;
		entry = mt_find(&f->tree, &index, key);
		if (entry && index <= key)
			blame(&f->blame, "%lu: mt_find() went to %lu", key, index);
	}
	judge(f, key, entry, before);
}

/* Each key of a batch is judged as a load of its own. */
static void read_many(struct field *f, struct rng *rng)
{
	unsigned long index[100], before[100];
	void *entry[100];
	size_t n = 1 + rng_below(rng, 100);

	for (size_t i = 0; i < n; i++) {
		index[i] = rng_below(rng, f->stripes * STRIPE);
		before[i] = load(&f->keys[index[i]].done);
	}
	mtree_load_batch(&f->tree, index, entry, n);
	for (size_t i = 0; i < n; i++)
		judge(f, index[i], entry[i], before[i]);
}

/* How far away the next range can be: there is no need to look beyond the next fixed one. */
enum { AHEAD = STRIPE + 2 * FIXED };

/* What an iteration must see: each fixed range once, in order, with its bounds. */
struct tour {
	struct field *f;
	bool down;
	unsigned long stripe; /* of the next fixed range to come */
	unsigned long edge;   /* the end of the last range in the direction of the tour */
	bool any;
	bool paused;
	const char *name;
	unsigned long base; /* done[i] is keys[base + i].done before the step */
	unsigned long done[AHEAD];
};

/*
 * Notes the versions of the keys that the next step can reach, to check that it returns nothing
 * that had been replaced by then.
 */
static void look_ahead(struct tour *t, unsigned long edge)
{
	unsigned long keys = t->f->stripes * STRIPE;

	if (t->down)
		t->base = edge > AHEAD ? edge - AHEAD : 0;
	else
		t->base = edge;
	for (unsigned long i = 0; i < AHEAD && t->base + i < keys; i++)
		t->done[i] = load(&t->f->keys[t->base + i].done);
}

/* Checks that an object that a step has reached was in the tree at some moment of the step. */
static void fresh(struct tour *t, void *entry, unsigned long first, unsigned long last)
{
	unsigned long key = t->down ? last : first < t->base ? t->base : first;

	if (t->down && key >= t->base + AHEAD)
		key = t->base + AHEAD - 1;
	if (key >= t->base && key < t->base + AHEAD && key % STRIPE >= FIXED)
		judge(t->f, key, entry, t->done[key - t->base]);
}

static void visit(struct tour *t, void *entry, unsigned long first, unsigned long last)
{
	struct field *f = t->f;
	/*
	 * After a pause a range may come again if it has been extended over the next key meanwhile.
	 */
	bool behind = t->any && (t->down ? (t->paused ? first : last) >= t->edge
					 : (t->paused ? last : first) <= t->edge);

	if (first > last || behind)
		blame(&f->blame, "%s: [%lu..%lu] after %lu", t->name, first, last, t->edge);
	t->any = true;
	t->edge = t->down ? first : last;
	if (!is_fixed(entry)) {
		if (object_good(f, entry, first, last))
			fresh(t, entry, first, last);
		look_ahead(t, t->down ? first : last + 1);
		if (f->fixed_stay && first / STRIPE != (t->down ? t->stripe : t->stripe - 1))
			blame(&f->blame, "%s: at [%lu..%lu], fixed range %lu not seen", t->name,
			      first, last, t->stripe);
		return;
	}
	if (entry != xa_mk_value(first / STRIPE) || first % STRIPE || last != first + FIXED - 1)
		blame(&f->blame, "%s: fixed entry %p on [%lu..%lu]", t->name, entry, first, last);
	if (f->fixed_stay && first / STRIPE != t->stripe)
		blame(&f->blame, "%s: fixed range %lu where %lu should come", t->name,
		      first / STRIPE, t->stripe);
	t->stripe = first / STRIPE + (t->down ? -1UL : 1);
	look_ahead(t, t->down ? first : last + 1);
}

/* Checks that all fixed ranges up to the limit were seen. */
static void arrive(struct tour *t, unsigned long to)
{
	if (t->f->fixed_stay && t->stripe != (t->down ? to - 1 : to + 1))
		blame(&t->f->blame, "%s: ended before fixed range %lu", t->name, t->stripe);
}

/* Lets other writers in between two steps, where the tour relies on the lock. */
static void let_in(struct ma_state *mas)
{
	mas_pause(mas);
	mas_unlock(mas);
	mas_lock(mas);
}

static void tour_up(struct field *f, unsigned long from, unsigned long to, bool locked)
{
	struct tour t = {
		.f = f, .stripe = from, .paused = locked, .name = locked ? "up, paused" : "up"
	};
	MA_STATE(mas, &f->tree, STRIPE * from, STRIPE * from);
	unsigned long n = 0;
	void *entry;

	look_ahead(&t, STRIPE * from);
	mas_for_each(&mas, entry, STRIPE * to + FIXED - 1) {
		visit(&t, entry, mas.index, mas.last);
		if (blamed(&f->blame))
			return;
		if (locked && ++n % 3 == 0)
			let_in(&mas);
	}
	arrive(&t, to);
}

static void tour_down(struct field *f, unsigned long from, unsigned long to, bool locked)
{
	struct tour t = { .f = f,
			  .down = true,
			  .stripe = to,
			  .paused = locked,
			  .name = locked ? "down, paused" : "down" };
	MA_STATE(mas, &f->tree, STRIPE * to + FIXED - 1, STRIPE * to + FIXED - 1);
	unsigned long n = 0;
	void *entry;

	look_ahead(&t, STRIPE * to + FIXED);
	mas_for_each_rev(&mas, entry, STRIPE * from) {
		visit(&t, entry, mas.index, mas.last);
		if (blamed(&f->blame))
			return;
		if (++n % 2)
			let_inlines(&mas);
		if (locked && n % 3 == 0)
			let_in(&mas);
	}
	arrive(&t, from);
}

/* mas_next() and mas_prev() must find all fixed ranges too. */
static void tour_next(struct field *f, unsigned long from, unsigned long to)
{
	struct tour t = { .f = f, .stripe = from, .name = "next" };
	MA_STATE(mas, &f->tree, STRIPE * from, STRIPE * from);
	unsigned long n = 0;
	void *entry;

	look_ahead(&t, STRIPE * from);
	for (entry = mas_walk(&mas); entry; entry = mas_next(&mas, STRIPE * to + FIXED - 1)) {
		visit(&t, entry, mas.index, mas.last);
		if (++n % 2)
			let_inlines(&mas);
	}
	arrive(&t, to);
}

/*
 * mt_for_each() gives no range, and its steps need no critical section: only fixed entries are
 * looked at.
 */
static void tour_normal(struct field *f, unsigned long from, unsigned long to)
{
	unsigned long index = STRIPE * from, expect = from;
	void *entry;

	mt_for_each(&f->tree, entry, index, STRIPE * to + FIXED - 1) {
		if (!is_fixed(entry))
			continue;
		if (f->fixed_stay && xa_to_value(entry) != expect)
			blame(&f->blame, "mt_for_each: fixed range %lu where %lu should come",
			      xa_to_value(entry), expect);
		expect = xa_to_value(entry) + 1;
	}
	if (f->fixed_stay && expect != to + 1)
		blame(&f->blame, "mt_for_each: ended before fixed range %lu", expect);
}

static void some_tour(struct field *f, struct rng *rng, bool locked)
{
	unsigned long from = rng_below(rng, f->stripes), to = from + rng_below(rng, 30);

	if (to >= f->stripes)
		to = f->stripes - 1;
	switch (rng_below(rng, 3)) {
	case 0:
		tour_up(f, from, to, locked);
		break;
	case 1:
		tour_down(f, from, to, locked);
		break;
	default:
		if (!locked && f->fixed_stay)
			tour_next(f, from, to);
		else
			tour_up(f, from, to, locked);
	}
}

void field_read(struct field *f, struct rng *rng)
{
	mt_rcu_read_lock(&f->tree);
	for (unsigned int i = 0; i < 20 && !blamed(&f->blame); i++)
		read_one(f, rng);
	if (rng_one_in(rng, 4))
		read_many(f, rng);
	mt_rcu_read_unlock(&f->tree);
	if (rng_one_in(rng, 8)) {
		unsigned long from = rng_below(rng, f->stripes), to = from + rng_below(rng, 20);

		tour_normal(f, from, to < f->stripes ? to : f->stripes - 1);
		return;
	}
	mt_rcu_read_lock(&f->tree);
	some_tour(f, rng, false);
	mt_rcu_read_unlock(&f->tree);
}

/*
 * Objects stay while the lock is held, but the ager only knows of read-side critical sections, so
 * hold one as well.
 */
void field_read_locked(struct field *f, struct rng *rng)
{
	mt_rcu_read_lock(&f->tree);
	mtree_lock(&f->tree);
	some_tour(f, rng, true);
	mtree_unlock(&f->tree);
	mt_rcu_read_unlock(&f->tree);
}

/* ---- The end */

static bool key_good(struct field *f, const struct ma_state *mas, void *entry, unsigned long key)
{
	void *want = key % STRIPE < FIXED ? xa_mk_value(key / STRIPE) : (void *)f->keys[key].object;

	if (!f->fixed_stay && key % STRIPE < FIXED)
		return true;
	if (entry != want)
		blame(&f->blame, "in the end %lu, in [%lu..%lu], holds %p, should be %p", key,
		      mas->index, mas->last, entry, want);
	return entry == want;
}

bool field_stop(struct field *f)
{
	MA_STATE(mas, &f->tree, 0, 0);
	char why[200] = "";
	bool good = true;

	mtree_lock(&f->tree);
	if (mt_check(&f->tree, why, sizeof(why)))
		blame(&f->blame, "mt_check: %s", why);
	for (unsigned long k = 0; good && k < f->stripes * STRIPE; k++) {
		mas_set(&mas, k);
		good = key_good(f, &mas, mas_walk(&mas), k);
	}
	mtree_unlock(&f->tree);
	mtree_destroy(&f->tree);
	pool_stop(&f->pool);
	free(f->keys);
	return !blamed(&f->blame);
}
