"""The pages of a user's own account: language, time zone, password, second factor, and sessions."""

from allauth.account.internal.flows.login import record_authentication
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.views import ActivateTOTPView
from allauth.usersessions.models import UserSession
from django import forms
from django.conf import settings
from django.contrib import messages
from django.contrib.auth.models import User
from django.forms import Form
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from portal import first_sign_in_confirmation
from portal.models import TIME_ZONES, Profile
from portal.visitor import visitor_of


class ProfileForm(forms.ModelForm):
    language = forms.ChoiceField(
        label=gettext_lazy("Language"),
        required=False,
        choices=[("", gettext_lazy("as set in the browser")), *settings.LANGUAGES],
    )
    time_zone = forms.ChoiceField(label=gettext_lazy("Time zone"), choices=[(name, name) for name in TIME_ZONES])

    class Meta:
        model = Profile
        fields = ["language", "time_zone"]


class ActivateTotp(ActivateTOTPView):
    """Activates an authenticator app and completes the sign-in with two factors. The activation ends the user's other
    sessions."""

    def form_valid(self, form: Form) -> HttpResponse:
        response: HttpResponse = super().form_valid(form)
        user = self.request.user
        for session in UserSession.objects.filter(user_id=user.pk):
            if session.session_key != self.request.session.session_key:
                session.end()
        record_authentication(self.request, user, "mfa", type=Authenticator.Type.TOTP, reauthenticated=True)
        if isinstance(user, User):
            first_sign_in_confirmation.note_sign_in(user, browser=self.request.headers.get("User-Agent", ""))
        return response


activate_totp = ActivateTotp.as_view()


def index(request: HttpRequest) -> HttpResponse:
    user = visitor_of(request).user
    assert user is not None
    profile = Profile.objects.filter(user=user).first() or Profile(user=user)
    form = ProfileForm(request.POST or None, instance=profile)
    if request.method == "POST" and form.is_valid():
        # The save updates only these fields. So the save does not undo simultaneous changes of other fields.
        Profile.objects.update_or_create(user=user, defaults=form.cleaned_data)
        messages.success(request, _("Saved."))
        response = redirect("account")
        # because of this cookie, the sign-in pages are in the user's language
        response.set_cookie(settings.LANGUAGE_COOKIE_NAME, profile.language, httponly=True, samesite="Lax")
        return response
    codes = Authenticator.objects.filter(user=user, type=Authenticator.Type.RECOVERY_CODES).first()
    left = len(codes.wrap().get_unused_codes()) if codes else 0
    return render(request, "portal/account.html", {"form": form, "codes_left": left})
