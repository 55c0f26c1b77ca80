"""The page on which an invited person sets a password.

The person needs the link. If the invitation has a code, the person also needs the code.
"""

from typing import Any

from django import forms
from django.contrib.auth.models import User
from django.contrib.auth.password_validation import validate_password
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from portal import invitations
from portal.visitor import visitor_for


class PasswordForm(forms.Form):
    """The form for a new password. The page's script copies the part of the link after the # into the field `token`."""

    token = forms.CharField(
        label=gettext_lazy("Invitation"),
        help_text=gettext_lazy("The part of your link after the #."),
        max_length=64,
        widget=forms.TextInput(attrs={"autocomplete": "off", "data-from-fragment": "", "spellcheck": "false"}),
    )
    code = forms.CharField(
        label=gettext_lazy("Code, if you have one"),
        help_text=gettext_lazy("Twelve letters and digits. The person who approved your account has the code."),
        max_length=32,
        required=False,
        widget=forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false"}),
    )
    password1 = forms.CharField(
        label=gettext_lazy("New Password"),
        max_length=256,
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
    )
    password2 = forms.CharField(
        label=gettext_lazy("New Password (again)"),
        max_length=256,
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
    )

    def clean(self) -> dict[str, Any]:
        said: dict[str, Any] = super().clean() or {}
        if self.errors:
            return said
        if said["password1"] != said["password2"]:
            raise forms.ValidationError({"password2": _("The two passwords are not the same.")})
        try:
            self.invitation = invitations.find(said["token"])
        except invitations.NotOpened as reason:
            raise forms.ValidationError(str(reason)) from None
        try:
            validate_password(said["password1"], self.invitation.user)
        except forms.ValidationError as error:
            self.add_error("password1", error)
        return said

    def set_password(self) -> User | None:
        """Sets the password and returns the user. If the hub refuses the invitation, adds an error to the form and
        returns None."""
        said = self.cleaned_data
        try:
            return invitations.set_password(self.invitation, code=said["code"], password=said["password1"])
        except invitations.NotOpened as reason:
            self.add_error(None, str(reason))
            return None


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def accept(request: HttpRequest) -> HttpResponse:
    form = PasswordForm(request.POST if request.method == "POST" else None)
    if form.is_bound and form.is_valid():
        user = form.set_password()
        if user is not None:
            context = {"username": user.username, "is_confirmed": visitor_for(user).is_confirmed}
            return render(request, "portal/invitation_done.html", context)
    return render(request, "portal/invitation.html", {"form": form}, status=400 if form.errors else 200)
