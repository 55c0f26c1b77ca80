"""The URLs below /dfsp/v1 that show a DFSP's settlements."""

from django.urls import path

from settlement.dfsp_api import views

urlpatterns = [path("settlements", views.OwnSettlementsView.as_view())]
