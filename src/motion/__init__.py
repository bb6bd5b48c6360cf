"""Floor 2: optical flow (TV-L1), warping, occlusion, shot cuts."""
