/* SPDX-License-Identifier: MIT */
/* The list of peers, in the order in which the tables show them. */
#include "../peer.h"

const struct bench_peer *const *bench_peers(void)
{
	static const struct bench_peer *list[32];
	size_t n = 0;

	if (list[0])
		return list;
	n += bench_samara_peers(list + n);
	n += bench_linux_peers(list + n);
	list[n++] = &bench_std_map;
	list[n++] = &bench_std_map_locked;
#ifdef BENCH_ABSL
	list[n++] = &bench_absl_btree;
	list[n++] = &bench_absl_btree_locked;
#endif
#ifdef BENCH_BOOST
	list[n++] = &bench_boost_icl;
#endif
#ifdef BENCH_LIBBSD
	list[n++] = &bench_rb_tree;
#endif
	list[n++] = &bench_sorted_array;
	return list;
}
