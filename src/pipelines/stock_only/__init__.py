"""Families that run as diffusers has them, in mode baseline alone: one file each, on one base."""
