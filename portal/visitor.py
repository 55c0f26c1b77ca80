"""The visitor of a page. A visitor has the roles and the rights of the signed-in user. If the user belongs to a
participant, the visitor also has the participant's id and name."""

from dataclasses import dataclass, replace

from django.contrib.auth.models import AbstractBaseUser, AnonymousUser, User
from django.http import Http404, HttpRequest

from hub.api.administration.staff_authentication import has_second_factor
from hub.participants.models import Participant
from portal.models import Profile
from portal.permissions import PARTICIPANT_ROLES, Right, Role, rights_of

_ROLES = frozenset(role.value for role in Role)


@dataclass(frozen=True, slots=True)
class Visitor:
    user: User | None
    roles: frozenset[Role]
    rights: frozenset[Right]
    dfsp_id: int | None = None  # None for users of the hub; a participant's user sees only this participant's data
    dfsp_name: str = ""
    has_second_factor: bool = False
    is_confirmed: bool = False  # whether the account's first sign-in is confirmed
    time_zone: str = "UTC"
    language: str = ""

    @property
    def is_signed_in(self) -> bool:
        return self.user is not None

    @property
    def name(self) -> str:
        return self.user.get_username() if self.user else ""

    def may(self, right: Right) -> bool:
        return right in self.rights

    def may_see(self, participant_id: int | None) -> bool:
        """Returns whether the visitor has the right to see this participant's data."""
        return self.dfsp_id is None or self.dfsp_id == participant_id

    def must_see(self, *participant_ids: int | None) -> None:
        """Raises 404 if the visitor has no right to see the data of any of these participants."""
        if not any(self.may_see(participant_id) for participant_id in participant_ids):
            raise Http404


NOBODY = Visitor(None, frozenset(), frozenset())


def visitor_for(user: User) -> Visitor:
    """Returns this user as a visitor, with the rights that are now in the database. Does not check whether the user has
    a second factor."""
    if not user.is_active:
        return NOBODY
    roles = frozenset(Role(group.name) for group in user.groups.all() if group.name in _ROLES)
    profile = getattr(user, "profile", None) or Profile(user=user)
    if profile.participant_id is None:
        roles -= PARTICIPANT_ROLES
    else:
        roles &= PARTICIPANT_ROLES
    return Visitor(
        user=user,
        roles=roles,
        rights=rights_of(roles, is_confirmed=profile.confirmed_at is not None),
        is_confirmed=profile.confirmed_at is not None,
        dfsp_id=profile.participant_id,
        dfsp_name=profile.participant.name if profile.participant else "",
        time_zone=profile.time_zone,
        language=profile.language,
    )


def visitor_of(request: HttpRequest) -> Visitor:
    """Returns the visitor of this request. Reads the database only once for each request."""
    found: Visitor | None = getattr(request, "_visitor", None)
    if found is None:
        found = _read(request)
        request._visitor = found  # type: ignore[attr-defined]
    return found


def _read(request: HttpRequest) -> Visitor:
    user: AbstractBaseUser | AnonymousUser = request.user
    if not isinstance(user, User) or not user.is_authenticated:
        return NOBODY
    return replace(visitor_for(user), has_second_factor=has_second_factor(request))


def participant_of(request: HttpRequest, name: str) -> Participant:
    """Returns the participant with this name.

    Raises 404 if the participant does not exist, or if the visitor has no right to see the participant.
    """
    found = Participant.objects.filter(name=name, is_hub=False).first()
    if found is None:
        raise Http404
    visitor_of(request).must_see(found.pk)
    return found
