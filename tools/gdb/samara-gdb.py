# SPDX-License-Identifier: MIT
"""Maple trees in gdb, in a process or in its core file. `source` this file, then

    print TREE                      the ranges of a struct maple_tree (print/r: its members)
    mt-dump TREE [FIRST [LAST]]     the same, one to a line, of all keys or of some
    print $mt_load(TREE, KEY)       what mtree_load() would return

TREE is a struct maple_tree or the address of one; for mt-dump it must be quoted if it has spaces in
it. Memory is only read and nothing is called, so core files and a library without debug information
will do. What is read is checked: if part of a tree has been overwritten, the rest is shown. In plain
mode a thread that is stopped during a store may have left a leaf half written; in RCU mode you see
what readers see."""

import struct

import gdb

NODE_SIZE = 512
BOUNDS_AT = 16
ALL_KEYS = 2**64 - 1
SIGN = 2**63
DEPTH_MAX = 16
JOINED = 2  # a flag of leaves: some ranges continue the ones before
ZERO_ENTRY = 257 << 2 | 2
# Bits of ma_flags, and the offset of the lock in struct maple_tree.
ALLOC_RANGE, USE_RCU, LOCK_EXTERN = 0x01, 0x02, 0x300
LOCK_AT = 88
WAITERS = 1 << 31
# The layout of nodes, as in src/tree/node.h. For each kind (bits of a pointer to a node): the format of a
# bound, the number of slots, whether it is a leaf.
KIND_MASK = 0x1FC
KINDS = {132: ("h", 45, True), 136: ("i", 31, False), 180: ("i", 41, True), 208: ("q", 25, False),
         260: ("q", 31, True)}
OTHER_THINGS = (gdb.TYPE_CODE_STRUCT, gdb.TYPE_CODE_UNION, gdb.TYPE_CODE_PTR, gdb.TYPE_CODE_ARRAY,
                gdb.TYPE_CODE_FUNC)


class Broken(Exception):
    """Something that no tree of this library contains."""


def order():
    return ">" if "big endian" in gdb.execute("show endian", to_string=True) else "<"


def memory(address, size):
    try:
        return gdb.selected_inferior().read_memory(address, size)
    except gdb.MemoryError:
        raise Broken(f"no memory at {address:#x}") from None


def read(address, layout):
    layout = order() + layout
    return struct.unpack(layout, memory(address, struct.calcsize(layout)))


class Node:
    """Child or range i begins with starts[i] and holds slots[i]."""

    def __init__(self, enode, first, last):
        address = enode & -NODE_SIZE
        form, capacity, self.leaf = KINDS.get(enode & KIND_MASK, (None, 0, False))
        if enode & 3 != 2 or not form:
            raise Broken(f"{enode:#x} is no pointer to a node")
        node, by = memory(address, NODE_SIZE), order()
        base, shift, count, self.says = struct.unpack_from(by + "QBBB", node)
        if not 0 < count <= capacity or shift > 63:
            raise Broken(f"what is at {address:#x} is no node")
        bounds = struct.unpack_from(f"{by}{count - 1}{form}", node, BOUNDS_AT)
        if form == "q":
            inner = [bound + SIGN for bound in bounds]
        else:
            inner = [(base + (bound << shift)) & ALL_KEYS for bound in bounds]
        self.starts = [first, *inner]
        self.ends = [start - 1 for start in inner] + [last]
        self.slots = struct.unpack_from(f"{by}{count}Q", node, enode & KIND_MASK & -8)
        if any(start > end for start, end in zip(self.starts, self.ends)):
            raise Broken(f"the keys of the node at {address:#x} are not in order")

    def children(self):
        return zip(self.starts, self.ends, self.slots)


def is_mapped(address):
    try:
        read(address, "B")
        return True
    except Broken:
        return False


def joined_mark(node):
    """The mark in a leaf that says that a range goes on: an address in the library, the same everywhere.
An internal entry may look like it, but is hardly an address."""
    alike = {slot for slot in node.slots if slot & 0xFFFF == ZERO_ENTRY != slot}
    if not node.says & JOINED or not alike:
        return None
    return max(alike, key=lambda slot: (len(alike) > 1 and is_mapped(slot), slot))


def leaf_ranges(node):
    """The ranges and gaps of a leaf, with their pieces put together."""
    first, last, held = None, None, None
    mark = joined_mark(node)
    for start, end, entry in node.children():
        if first is not None and (entry == mark or entry == held == 0):
            last = end
            continue
        if first is not None:
            yield first, last, held
        first, last, held = start, end, entry
    yield first, last, held


def ranges_below(enode, first, last, window, depth=1):
    """All ranges that overlap @window, gaps as well: first key, last key, entry or what is wrong there."""
    try:
        if depth > DEPTH_MAX:
            raise Broken("the tree goes round in circles")
        node = Node(enode, first, last)
    except Broken as why:
        yield first, last, why
        return
    for start, end, slot in leaf_ranges(node) if node.leaf else node.children():
        if start > window[1] or end < window[0]:
            continue
        if node.leaf:
            yield start, end, slot
        else:
            yield from ranges_below(slot, start, end, window, depth + 1)


def is_tree(kind):
    return kind.code == gdb.TYPE_CODE_STRUCT and kind.tag == "maple_tree"


def may_be_at(kind):
    """Whether the address of something of that type may be a tree's. If it has no type, it may."""
    return is_tree(kind) or kind.code not in OTHER_THINGS


def address_of(value):
    """The address of the tree: @value is the tree or its address."""
    kind = value.type.strip_typedefs()
    if kind.code in (gdb.TYPE_CODE_REF, gdb.TYPE_CODE_RVALUE_REF):
        value = value.referenced_value()
        kind = value.type.strip_typedefs()
    if is_tree(kind):
        if value.address is None:
            raise gdb.GdbError("That tree is not in memory.")
        return int(value.address)
    if kind.code == gdb.TYPE_CODE_PTR and may_be_at(kind.target().strip_typedefs()):
        return int(value)
    if kind.code == gdb.TYPE_CODE_INT:
        return int(value) & ALL_KEYS
    raise gdb.GdbError(f"That is no struct maple_tree, nor the address of one, but {value.type}.")


class Tree:
    """@value: a struct maple_tree or its address, as a gdb.Value."""

    def __init__(self, value):
        self.address = address_of(value)
        try:
            self.root, self.flags = read(self.address, "QI")
            self.lock = read(self.address + LOCK_AT, "I")[0]
        except Broken as why:
            raise gdb.GdbError(f"{why}, where the tree should be.") from None

    def head(self):
        yield f"maple tree of height {(self.flags & 0x7C) >> 2}"
        if self.flags & USE_RCU:
            yield "RCU mode"
        if self.flags & ALLOC_RANGE:
            yield "gaps tracked"
        if self.flags & LOCK_EXTERN == LOCK_EXTERN:
            yield "external lock"
        elif self.lock:
            yield f"locked by thread {self.lock & ~WAITERS}"

    def ranges(self, first=0, last=ALL_KEYS):
        """The entries in [@first..@last], and what is wrong there."""
        if self.root & 3 == 2:
            found = ranges_below(self.root, 0, ALL_KEYS, (first, last))
        else:
            found = [(0, 0, self.root)] if first == 0 else []
        for start, end, entry in found:
            if entry:
                yield start, end, entry


def pointer(entry):
    return gdb.Value(entry).cast(gdb.lookup_type("void").pointer())


def named(entry):
    """An entry as mt_dump() prints it; a pointer with what gdb knows of its target."""
    if isinstance(entry, Broken):
        return f"<{entry}>"
    if entry & 1:
        return f"value {entry >> 1:x}"
    if entry == ZERO_ENTRY:
        return "zero"
    if entry & 3 == 2:
        return f"internal {entry >> 2}"
    return pointer(entry).format_string()


class TreePrinter:
    def __init__(self, value):
        self.tree = Tree(value)

    def to_string(self):
        return ", ".join(self.tree.head())

    def children(self):
        for first, last, entry in self.tree.ranges():
            plain = not isinstance(entry, Broken) and entry & 3 == 0
            yield f"[{first:#x}..{last:#x}]", pointer(entry) if plain else named(entry)


def printer(value):
    kind = value.type.strip_typedefs()
    if is_tree(kind) and value.address is not None:
        return TreePrinter(value)
    return None


def plainly(invoke):
    """Makes gdb report errors in what the user asks for as such, not as errors of this script."""
    def invoked(*args):
        try:
            return invoke(*args)
        except gdb.error as why:
            raise gdb.GdbError(str(why)) from None
    return invoked


class Dump(gdb.Command):
    """The ranges of a maple tree: mt-dump TREE [FIRST [LAST]].
TREE is a struct maple_tree or the address of one, in quotes if there are spaces in it. Without FIRST
all keys are looked at, without LAST that key alone; what is found may reach over them."""

    def __init__(self):
        super().__init__("mt-dump", gdb.COMMAND_DATA, gdb.COMPLETE_EXPRESSION)

    @plainly
    def invoke(self, argument, from_tty):
        self.dont_repeat()
        words = gdb.string_to_argv(argument)
        if not 1 <= len(words) <= 3:
            raise gdb.GdbError("Usage: mt-dump TREE [FIRST [LAST]]")
        tree, *keys = [gdb.parse_and_eval(word) for word in words]
        tree, keys = Tree(tree), [int(key) & ALL_KEYS for key in keys]
        if len(keys) == 1:
            keys *= 2
        print(", ".join(tree.head()))
        for first, last, entry in tree.ranges(*keys):
            print(f"{first:x}-{last:x}: {named(entry)}")


class Load(gdb.Function):
    """$mt_load(TREE, KEY): what mtree_load() would return, as a void *."""

    def __init__(self):
        super().__init__("mt_load")

    @plainly
    def invoke(self, *args):
        if len(args) != 2:
            raise gdb.GdbError("Usage: $mt_load(TREE, KEY)")
        tree, key = args[0], int(args[1]) & ALL_KEYS
        for _, _, entry in Tree(tree).ranges(key, key):
            if isinstance(entry, Broken):
                raise gdb.GdbError(f"{entry}.")
            return pointer(0 if entry == ZERO_ENTRY else entry)
        return pointer(0)


gdb.pretty_printers.append(printer)
Dump()
Load()
