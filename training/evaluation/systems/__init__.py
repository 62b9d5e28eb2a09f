"""What is measured: baselines, judges, bundles and teachers, each as something that scores lists."""
