"""What runs beside a model in its replica: loading, health, pools, the backup."""
