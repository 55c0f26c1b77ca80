"""The people of the hub to whom work can be assigned."""

from django.contrib.auth.models import User

from portal.permissions import RIGHTS, Right


def with_right(right: Right) -> list[User]:
    """Returns the active people of the hub who have a role with this right, sorted by name."""
    roles = [role.value for role in RIGHTS[right]]
    found = User.objects.filter(is_active=True, groups__name__in=roles, profile__participant__isnull=True)
    return list(found.distinct().order_by("username"))
