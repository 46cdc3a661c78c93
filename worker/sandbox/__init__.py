"""Where the code of users runs: a warmed fork server behind Landlock, a seccomp allow-list and resource limits.

Inside (standard library only): host, grading, confine, syscalls, frames, policy. Outside: server (one such process),
pool (what others use), probe and attacks (whether the box holds), environment (which libraries are inside).
"""
