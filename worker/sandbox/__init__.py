"""Sandbox for user code: a pre-warmed fork server behind Landlock, a seccomp allow-list and resource limits.

Inside (standard library only): host, box, grading, python_program, confine, syscalls, frames, policy, model_code
(processes for code that a model wrote). Outside: server (one such process), pool (the public interface), probe and
attacks (whether the sandbox holds), environment (the libraries inside).
"""
