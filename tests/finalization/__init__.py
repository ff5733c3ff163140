"""Finishing uploads by workers, over RabbitMQ: real processes, and a broker that dies."""
