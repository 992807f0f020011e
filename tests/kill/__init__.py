"""Kill -9 at random moments under mixed writes, and a count of what was lost: it must be nothing.

A child process (`child`) writes to a database and tells its parent, through a pipe, which operation it begins and which
one drift has acknowledged. The parent (`harness`) holds that journal, kills the child, opens the database and compares:
every acknowledged write is there with the vector f(id, version), no id whose delete was acknowledged is back, the one
operation that was under way is in or out as a whole, and ``verify()`` is clean.

One database in four is so large that its buckets are defined anew, and rows expire in all: maintenance, which the
children call, does both, so that kills land within these jobs as well.

``python -m tests.kill --kills 200 --durability os --seed 7`` runs it at length; `tests/test_kill.py` runs it briefly.
"""
