/* SPDX-License-Identifier: MIT */
#include "base/rcu.h"
#include "base/thread.h"

/*
 * liburcu's headers declare a table only for the flavour included first; the others exist all the
 * same.
 */
extern const struct rcu_flavor_struct urcu_memb_flavor, urcu_mb_flavor, urcu_qsbr_flavor;

static const struct rcu_flavor_struct *const flavors[SMR_RCU_FLAVORS] = {
	[MT_RCU_BP] = &urcu_bp_flavor,
	[MT_RCU_MEMB] = &urcu_memb_flavor,
	[MT_RCU_MB] = &urcu_mb_flavor,
	[MT_RCU_QSBR] = &urcu_qsbr_flavor,
};

#if SMR_TSAN
char smri_rcu_tsan[SMR_RCU_FLAVORS];
#endif

/* Other threads look only at the count of a record, and its address is used as the record's. */
_Static_assert(offsetof(struct urcu_bp_reader, ctr) == 0, "a record begins with its count");

static void add_record(struct urcu_bp_reader *reader)
{
	smr_quiet_add_record((const unsigned long *)(const void *)reader);
}

#if SMR_RCU_INLINE
static struct urcu_bp_reader *none; /* stays NULL */

smr_thread_local struct smri_rcu_self smri_rcu_self = {
	&none, (struct urcu_bp_reader *)&none /* no record met yet, not even NULL */
};

smr_noinline void smri_rcu_meet(void)
{
	struct urcu_bp_reader **place = &URCU_TLS(urcu_bp_reader);

	if (urcu_bp_has_sys_membarrier)
		smri_rcu_self.place = place;
	if (*smri_rcu_self.place)
		add_record(*smri_rcu_self.place);
	smri_rcu_self.met = *smri_rcu_self.place;
}

/*
 * Also called when liburcu has dropped the record, late in a thread's exit: then liburcu makes
 * another.
 */
smr_noinline struct urcu_bp_reader *smri_rcu_register(void)
{
	struct urcu_bp_reader **place = &URCU_TLS(urcu_bp_reader);

	if (!*place)
		urcu_bp_register();
	smri_rcu_meet();
	return *place;
}
#else
static smr_thread_local struct urcu_bp_reader *met;

void smr_rcu_meet(void)
{
	struct urcu_bp_reader *reader = URCU_TLS(urcu_bp_reader);

	if (reader == met)
		return;
	met = reader;
	if (reader)
		add_record(reader);
}
#endif

bool smr_rcu_joined(void)
{
	return URCU_TLS(urcu_bp_reader) != NULL;
}

void smr_rcu_join(void)
{
	if (!smr_rcu_joined())
		urcu_bp_register();
}

void smri_rcu_other_lock(enum mt_rcu_flavor flavor)
{
	flavors[flavor]->read_lock();
}

void smri_rcu_other_unlock(enum mt_rcu_flavor flavor)
{
	flavors[flavor]->read_unlock();
}

/*
 * Does not ask liburcu about a thread that it does not know: that would register the thread, which
 * allocates.
 */
bool smr_rcu_read_ongoing(enum mt_rcu_flavor flavor)
{
	if (flavor == MT_RCU_BP && !smr_rcu_joined())
		return false;
	return flavors[flavor]->read_ongoing() != 0;
}

bool smr_rcu_reading(void)
{
	for (unsigned int i = 0; i < SMR_RCU_FLAVORS; i++)
		if (smr_rcu_read_ongoing((enum mt_rcu_flavor)i))
			return true;
	return false;
}

bool smr_rcu_offline(enum mt_rcu_flavor flavor)
{
	bool online = flavor == MT_RCU_QSBR && smr_rcu_read_ongoing(flavor);

	smr_assert(online || !smr_rcu_read_ongoing(flavor));
	if (online)
		flavors[flavor]->thread_offline();
	return online;
}

void smr_rcu_online(enum mt_rcu_flavor flavor)
{
	flavors[flavor]->thread_online();
}

static void call(enum mt_rcu_flavor flavor, struct smr_rcu_head *head,
		 void (*fn)(struct smr_rcu_head *head), enum smr_grace_list list)
{
	head->fn = fn;
	smri_rcu_release(flavor);
	smr_grace_queue(flavor, head, list);
}

void smr_rcu_call(enum mt_rcu_flavor flavor, struct smr_rcu_head *head,
		  void (*fn)(struct smr_rcu_head *head))
{
	call(flavor, head, fn, SMR_GRACE_ANY);
	(void)smr_grace_start(flavor);
}

void smr_rcu_call_parents(enum mt_rcu_flavor flavor, struct smr_rcu_head *head,
			  void (*fn)(struct smr_rcu_head *head))
{
	call(flavor, head, fn, SMR_GRACE_PARENT_ONLY);
}

void smr_rcu_call_nodes(enum mt_rcu_flavor flavor, struct smr_rcu_head *head,
			void (*fn)(struct smr_rcu_head *head), bool patient)
{
	call(flavor, head, fn, patient ? SMR_GRACE_NODES_PATIENT : SMR_GRACE_NODES);
}

void smr_rcu_synchronize(enum mt_rcu_flavor flavor)
{
	int cancel;

	smr_assert(flavor == MT_RCU_QSBR || !smr_rcu_read_ongoing(flavor));
	/* liburcu polls with its locks held: cancellation there would leave them locked. */
	cancel = smr_cancel_off();
	flavors[flavor]->update_synchronize_rcu();
	smr_cancel_restore(cancel);
	smri_rcu_acquire(flavor);
}
