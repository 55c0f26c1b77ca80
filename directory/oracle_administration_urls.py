"""The administration of oracles, at /api/directory/v1."""

from django.urls import path

from directory.views import administration as views

urlpatterns = [
    path("oracles", views.OraclesView.as_view()),
    path("oracles/<str:oracle_id>", views.OracleView.as_view()),
]
