"""Lets the hub take in a bank statement again: for another settlement, or after a later statement of the same
settlement."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("settlement", "0006_payments")]
    operations = [migrations.RemoveConstraint("statement", "a_statement_is_taken_in_once")]
