"""What both ends of Kafka share: the messages, their wire format, the topics and the clients."""
