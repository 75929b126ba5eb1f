"""The live dashboard: everything that Kafka knows, on pages; it reads, and writes nothing but replays."""
