"""Sandbox for user code: a pre-warmed fork server behind Landlock, a seccomp allow-list and resource limits.

Inside (standard library only): host, grading, python_program, confine, syscalls, frames, policy. Outside: server (one
such process), pool (the public interface), probe and attacks (whether the sandbox holds), environment (the libraries
inside).
"""
