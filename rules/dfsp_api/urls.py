"""The URLs below /dfsp/v1 about fraud."""

from django.urls import path

from rules.dfsp_api import views

urlpatterns = [
    path("signals/<str:id_type>/<str:identifier>", views.SignalsView.as_view()),
    path("signals/<str:id_type>/<str:identifier>/<str:sub_id>", views.SignalsView.as_view()),
    path("markers", views.MarkersView.as_view()),
    path("markers/<int:number>", views.MarkerView.as_view()),
    path("markers/<int:number>/appeals", views.AppealsView.as_view()),
]
