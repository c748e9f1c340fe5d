"""A test harness: kills and disturbs a target at named points, reruns it, and compares with an undisturbed run."""
