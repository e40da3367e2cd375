"""Statistics on arrays alone: clustered intervals, AUROC and recall, out-of-fold classifiers, calibration."""
