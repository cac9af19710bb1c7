"""The lab: whole slates judged on what members really did next."""
