"""One clip by several processes, a device each: what they share, exchange and count.

A family divides its own forward and decoder (`Family.divided`); here is what does not depend on the
model. diffusers has context parallelism of its own (`ContextParallelConfig`, `enable_parallelism`).
It is not used: `CogVideoXTransformer3DModel` of 0.42 has no plan for it, and given one, its
attention, which calls PyTorch's directly, attends within each process's share and is silently wrong
(on a model of two blocks off by 5 % of the largest number); `enable_parallelism` itself divides by
the number of accelerators, so that no test of it runs on a CPU; and its form for lengths that do
not divide asks all processes for their sizes at each attention, which are known before.
"""
