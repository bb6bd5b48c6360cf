"""DOVE: one step of CogVideoX 1.5 from a clip enlarged bilinearly to a restored one."""
