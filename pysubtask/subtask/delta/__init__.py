"""What has to travel, given what the server has."""
