"""What can be seen from Kafka at this moment: cameras, pictures, outcomes, workers, dead letters."""
